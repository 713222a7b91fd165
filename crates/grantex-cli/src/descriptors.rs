//! Open files: each connection is one, and what else needs them comes first.

use grantex_server::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::CommandError;
use crate::config::Options;

/// Open files that are not connections: the store's, the log's, the listeners', a backup's, and
/// spare connections for health checks. A running service has some forty besides its connections.
const RESERVED: usize = 96;
/// The fewest connections that a service is useful with.
const LEAST: usize = 32;

/// Raises the limit of open files as far as the system allows, and sets the limits of connections
/// and streams below it.
pub(crate) fn fit(options: &Options, settings: &mut Settings) -> Result<(), CommandError> {
    fit_into(options, settings, most_open_files())
}

/// Raises the limit of open files to the maximum that the system allows: shells allow about a
/// thousand, and each stream needs one.
fn most_open_files() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, current = ?limit.current, "the limit of open files cannot be \
            raised");
    }
    getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok())
}

fn fit_into(
    options: &Options,
    settings: &mut Settings,
    open_files: Option<usize>,
) -> Result<(), CommandError> {
    let room = open_files.unwrap_or(usize::MAX).saturating_sub(RESERVED);
    if room < LEAST {
        let needed = RESERVED.saturating_add(LEAST);
        return Err(format!(
            "the limit of open files is {}, and the service needs {needed}; raise it with `ulimit \
             -n`",
            room.saturating_add(RESERVED)
        )
        .into());
    }
    let connections = &mut settings.connections;
    let wanted = connections.most;
    connections.most = if wanted == 0 { room } else { wanted.min(room) };
    if options.max_connections.is_some_and(|asked| asked > connections.most) {
        tracing::warn!(
            connections = connections.most,
            "the limit of open files allows fewer connections than requested; raise it with \
             `ulimit -n`"
        );
    }
    let share = |whole: usize, parts: usize| whole.checked_div(parts).unwrap_or_default();
    if options.max_connections_per_address.is_none() {
        connections.most_per_address = connections.most_per_address.min(share(connections.most, 4));
    }
    // One eighth stays for requests; and one developer alone leaves half of the streams to the
    // others.
    let streams = &mut settings.streams;
    let most_streams = connections.most.saturating_sub(share(connections.most, 8));
    streams.most = match options.max_streams_in_all {
        None | Some(0) => most_streams,
        Some(asked) => asked.min(most_streams),
    };
    if options.max_streams.is_none() {
        streams.most_per_developer = streams.most_per_developer.min(share(streams.most, 2));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(options: &Options, open_files: Option<usize>) -> Settings {
        let mut settings = options.settings("127.0.0.1:8080").unwrap();
        fit_into(options, &mut settings, open_files).unwrap();
        settings
    }

    #[test]
    fn limits_stay_below_the_open_files() {
        let settings = fitted(&Options::default(), Some(1024));
        assert_eq!((settings.connections.most, settings.connections.most_per_address), (928, 232));
        assert_eq!((settings.streams.most, settings.streams.most_per_developer), (812, 406));
        let settings = fitted(&Options::default(), None);
        assert_eq!(
            (settings.connections.most, settings.connections.most_per_address),
            (32_768, 1024)
        );
        assert_eq!((settings.streams.most, settings.streams.most_per_developer), (28_672, 10_000));
    }

    #[test]
    fn what_was_asked_for_counts_as_far_as_it_can() {
        let asked = |connections, streams| {
            let mut options = Options::default();
            options.max_connections = Some(connections);
            options.max_connections_per_address = Some(0);
            options.max_streams = Some(streams);
            options.max_streams_in_all = Some(streams);
            options
        };
        let settings = fitted(&asked(0, 0), Some(20_000));
        assert_eq!((settings.connections.most, settings.connections.most_per_address), (19_904, 0));
        assert_eq!((settings.streams.most, settings.streams.most_per_developer), (17_416, 0));
        let settings = fitted(&asked(1000, 500), Some(20_000));
        assert_eq!((settings.connections.most, settings.streams.most), (1000, 500));
    }

    #[test]
    fn too_few_open_files_are_refused_with_what_to_do() {
        let options = Options::default();
        let mut settings = options.settings("127.0.0.1:8080").unwrap();
        let error = fit_into(&options, &mut settings, Some(100)).unwrap_err().to_string();
        assert!(
            error.contains("limit of open files is 100") && error.contains("ulimit -n"),
            "{error}"
        );
    }
}
