//! Only the receiver's own acknowledgement counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use grantex_destinations::conformance::MemoryLog;
use grantex_destinations::{Definition, DestinationStats, State};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{source, start, until};

/// A receiver that answers each request as `answer` has it, and then closes the connection or
/// leaves it open.
async fn receiver(
    answer: impl Fn(&[u8]) -> String + Clone + Send + 'static,
    is_left_open: bool,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut part = [0; 4096];
                    match socket.read(&mut part).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => request.extend_from_slice(&part[..n]),
                    }
                }
                socket.write_all(answer(&request).as_bytes()).await.ok();
                if is_left_open {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    base
}

/// A receiver that gives every request the same answer, whole or not, and counts the requests with
/// a body.
async fn answering(answer: &str, is_left_open: bool) -> (String, Arc<AtomicUsize>) {
    let posts = Arc::new(AtomicUsize::new(0));
    let (answer, counted) = (answer.to_owned(), posts.clone());
    let answer = move |request: &[u8]| {
        if request.starts_with(b"POST") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        answer.clone()
    };
    (receiver(answer, is_left_open).await, posts)
}

fn is_whole(request: &[u8]) -> bool {
    // TLS, of which a server of plain HTTP understands nothing.
    if request.first() == Some(&0x16) {
        return true;
    }
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    request.len() >= head.len() + 4 + length.parse::<usize>().unwrap()
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

const PAGE: &str = "<!DOCTYPE html>\n<html><body>Please sign in\u{1b}[2K</body></html>\n";

fn definition(mut options: Value) -> Definition {
    let more =
        json!({"name": "one", "retry_base_ms": 5, "retry_cap_ms": 50, "flush_interval_ms": 20});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Definition::parse(options.as_object().unwrap().clone()).unwrap()
}

/// What a source kept, with its folder.
struct Kept {
    state: State,
    _folder: tempfile::TempDir,
}

/// Delivers three events until that is done or the destination says that somebody is needed.
async fn delivered(options: &Value) -> (DestinationStats, Kept) {
    let folder = tempfile::tempdir().unwrap();
    let log = MemoryLog::default();
    log.append(3);
    let source = source(&log, folder.path());
    definition(options.clone()).add_to(&source).unwrap();
    let running = start(&source);
    until("it is settled", || {
        let stats = &source.stats()[0];
        stats.cursor == log.ids().last().copied() || stats.is_failing && stats.retries > 2
    })
    .await;
    let stats = source.stats()[0].clone();
    source.stop().await;
    running.await.unwrap().unwrap();
    (stats, Kept { state: source.state().clone(), _folder: folder })
}

fn every_kind(base: &str) -> [Value; 3] {
    [
        json!({"type": "splunk", "hec_url": base, "hec_token": "t"}),
        json!({"type": "datadog", "url": base, "api_key": "k"}),
        json!({"type": "bigquery", "project_id": "p", "dataset_id": "d", "table_id": "t", "method": "insert_all", "endpoint": base}),
    ]
}

#[tokio::test]
async fn a_success_that_is_not_the_receivers_own_delivers_nothing() {
    for body in [
        PAGE,
        "",
        "[]",
        "{\"error\": {\"code\": 503, \"status\": \"UNAVAILABLE\"}}",
        "{\"text\": \"Busy\", \"code\": 99}",
    ] {
        let (base, _) = answering(&answer("200 OK", "text/html", body), false).await;
        for options in every_kind(&base) {
            let (figures, kept) = delivered(&options).await;
            assert_eq!((figures.delivered, figures.dead_letters), (0, 0), "{options} {body:?}");
            let checkpoint = kept.state.checkpoint("one").await.unwrap();
            assert_eq!(checkpoint.and_then(|checkpoint| checkpoint.delivered), None);
            let error = figures.last_error.unwrap();
            assert!(error.contains("this answer is not from"), "{error}");
            assert_eq!(error.contains("Please sign in\\u001b[2K"), body == PAGE, "{error}");
            let probed = definition(options).probe().await.unwrap_err().to_string();
            assert!(!probed.contains('\u{1b}') && !probed.contains('\n'), "{probed}");
        }
    }
}

#[tokio::test]
async fn a_receivers_own_word_counts() {
    let words = [
        ("200 OK", r#"{"text":"Success","code":0}"#, 0),
        ("202 Accepted", "{}", 1),
        ("200 OK", r#"{ "kind": "bigquery#tableDataInsertAllResponse" }"#, 2),
    ];
    for (status, body, index) in words {
        let (base, _) = answering(&answer(status, "application/json", body), false).await;
        let (stats, _) = delivered(&every_kind(&base)[index]).await;
        assert_eq!((stats.delivered, stats.retries), (3, 0), "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_none() {
    let cut =
        answer("200 OK", "application/json", r#"{"text":"Success","code":0}"#).replace("27", "28");
    let (base, posts) = answering(&cut, false).await;
    let folder = tempfile::tempdir().unwrap();
    let log = MemoryLog::default();
    log.append(1);
    let source = source(&log, folder.path());
    definition(every_kind(&base)[0].clone()).add_to(&source).unwrap();
    let running = start(&source);
    until("it is sent again", || posts.load(Ordering::SeqCst) > 2).await;
    assert_eq!(source.stats()[0].delivered, 0);
    assert!(source.stats()[0].last_error.clone().unwrap().contains("the answer is incomplete"));
    source.stop().await;
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_empty_answer_of_a_collector_counts_where_that_is_allowed() {
    let (base, _) = answering(&answer("200 OK", "text/plain", ""), false).await;
    let mut options = every_kind(&base)[0].clone();
    options["accept_empty_answer"] = json!(true);
    assert_eq!(delivered(&options).await.0.delivered, 3);
    let (base, _) = answering(&answer("200 OK", "text/html", PAGE), false).await;
    options["hec_url"] = json!(base);
    assert_eq!(delivered(&options).await.0.delivered, 0, "a page is not nothing");
}

#[tokio::test]
async fn no_body_undoes_a_webhooks_success() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n";
    for (answer, is_left_open) in [
        (format!("{head}content-length: 100\r\n\r\nshort"), false),
        (format!("{head}content-length: 100\r\n\r\nendless"), true),
        (format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n"), false),
        (format!("{head}content-encoding: gzip\r\ncontent-length: 9\r\n\r\nnot gzip!"), true),
        ("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned(), true),
        (answer("299 Fine", "text/html", PAGE), false),
    ] {
        let (base, posts) = answering(&answer, is_left_open).await;
        let (stats, _) = delivered(&json!({"type": "webhook", "url": base})).await;
        assert_eq!((stats.delivered, stats.retries), (3, 0), "{answer}");
        assert_eq!(posts.load(Ordering::SeqCst), 3, "each once: {answer}");
    }
}

#[tokio::test]
async fn the_probe_reports_a_port_with_another_scheme_and_no_event_is_rejected() {
    let told = answer(
        "400 Bad Request",
        "text/html",
        "<h1>The plain HTTP request was sent to HTTPS port</h1>",
    );
    let (base, _) = answering(&told, false).await;
    let options = json!({"type": "webhook", "url": base});
    let probed = definition(options.clone()).probe().await.unwrap_err().to_string();
    assert!(
        probed.contains("400 Bad Request") && probed.contains("scheme and the port"),
        "{probed}"
    );
    let (figures, kept) = delivered(&options).await;
    assert_eq!((figures.delivered, figures.dead_letters), (0, 0));
    // An operator may say that it is the receiver indeed.
    definition(options.clone()).believe(&kept.state).await.unwrap();

    let (without_head, _) = answering(&answer("501 Not Implemented", "text/html", ""), false).await;
    definition(json!({"type": "webhook", "url": without_head})).probe().await.unwrap();

    let secure = json!({"type": "webhook", "url": base.replace("http://", "https://")});
    let probed = definition(secure).probe().await.unwrap_err().to_string();
    assert!(probed.contains("scheme (https)"), "{probed}");
    let (base, _) = answering("\u{15}\u{3}\u{3}\0\u{2}\u{2}F", false).await;
    let probed =
        definition(json!({"type": "webhook", "url": base})).probe().await.unwrap_err().to_string();
    assert!(probed.contains("scheme (http)"), "{probed}");
}

#[tokio::test]
async fn uploads_carry_a_checksum_by_default() {
    for (checksum, is_taken) in [(json!("sha256"), true), (json!("none"), false)] {
        // As a bucket with a retention does: no upload without a checksum.
        let endpoint = receiver(
            |request| {
                let head = String::from_utf8_lossy(request).to_ascii_lowercase();
                let has_one =
                    head.contains("\r\nx-amz-checksum-sha256: ") || !head.starts_with("put");
                let status = if has_one { "200 OK\r\netag: \"e\"" } else { "400 Bad Request" };
                answer(status, "application/xml", "")
            },
            false,
        )
        .await;
        let options = json!({
            "type": "s3", "bucket": "audit", "region": "us-east-1", "endpoint": endpoint, "checksum": checksum,
            "access_key_id": "a", "secret_access_key": "b",
        });
        let folder = tempfile::tempdir().unwrap();
        let log = MemoryLog::default();
        log.append(3);
        let source = source(&log, folder.path());
        definition(options).add_to(&source).unwrap();
        let running = start(&source);
        until("it is settled", || {
            source.stats()[0].delivered == 3 || source.stats()[0].retries > 2
        })
        .await;
        assert_eq!(source.stats()[0].delivered == 3, is_taken);
        source.stop().await;
        running.await.unwrap().unwrap();
    }
}
