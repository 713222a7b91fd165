//! CPU time, as the kernel reports it.

/// Clock ticks a second in /proc: fixed on Linux.
const TICKS: f64 = 100.0;

/// CPU time of a process (`self` for this one), in seconds.
pub(crate) fn cpu_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields.get(11).unwrap().parse::<f64>().unwrap()
        + fields.get(12).unwrap().parse::<f64>().unwrap())
        / TICKS
}
