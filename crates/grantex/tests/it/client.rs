//! What the client does besides the cases.

use std::time::Duration;

use futures_util::StreamExt as _;
use grantex::{Client, ErrorKind, StreamOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// A service that answers one connection with three events and then waits for its end.
async fn endless() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(HEAD.as_bytes()).await.unwrap();
        for number in 1..=3 {
            let id = format!("evt_{number:026}");
            let event = format!(
                r#"{{"id":"{id}","type":"t","createdAt":"2026-03-01T12:00:00.000Z","data":{{}}}}"#
            );
            socket.write_all(format!("id: {id}\ndata: {event}\n\n").as_bytes()).await.unwrap();
        }
        until_closed(&mut socket).await;
    });
    (base, served)
}

async fn until_closed(socket: &mut TcpStream) {
    let mut ignored = [0; 1024];
    while matches!(socket.read(&mut ignored).await, Ok(1..)) {}
}

#[tokio::test]
async fn dropping_a_subscription_closes_its_connection() {
    let (base, served) = endless().await;
    let client = Client::builder().base_url(base).api_key("k").build().unwrap();
    let (sender, mut receiver) = mpsc::channel(8);
    let subscription = client.events().subscribe(StreamOptions::new(), move |event| {
        let sender = sender.clone();
        async move { sender.send(event.id.to_string()).await.unwrap() }
    });
    for number in 1..=3 {
        assert_eq!(receiver.recv().await.unwrap(), format!("evt_{number:026}"));
    }
    drop(subscription);
    served.await.unwrap();
}

#[tokio::test]
async fn a_subscription_tells_what_ended_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        until_closed(&mut socket).await;
    });
    let client = Client::builder().base_url(base).api_key("k").build().unwrap();
    let error =
        client.events().subscribe(StreamOptions::new(), |_| async {}).join().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gone);
    assert!(error.to_string().contains("start again"), "{error}");
}

/// Runs itself again with the environment that it is about: another one cannot be set in a running
/// process.
#[tokio::test]
async fn a_socks_proxy_is_a_mistake_of_the_variable_that_names_it() {
    const VARIABLES: [&str; 2] = ["HTTP_PROXY", "ALL_PROXY"];
    let Ok(variable) = std::env::var("GRANTEX_TEST_PROXY_VARIABLE") else {
        for variable in VARIABLES {
            let mut test = std::process::Command::new(std::env::current_exe().unwrap());
            test.args([
                "--exact",
                "client::a_socks_proxy_is_a_mistake_of_the_variable_that_names_it",
            ]);
            for name in VARIABLES.iter().flat_map(|name| [name.to_string(), name.to_lowercase()]) {
                test.env_remove(name);
            }
            test.env("GRANTEX_TEST_PROXY_VARIABLE", variable)
                .env(variable, "socks5://u:hush@127.0.0.1:1");
            let output = test.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        return;
    };
    let client = Client::builder().base_url("http://grantex.invalid").api_key("k").build().unwrap();
    let call = client.me().await.unwrap_err();
    let stream = client.events().stream(StreamOptions::new()).next().await.unwrap().unwrap_err();
    for error in [call, stream] {
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&variable) && text.contains("SOCKS"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
}

#[tokio::test]
async fn a_client_says_what_is_wrong_with_it_and_never_its_key() {
    for key in ["", "gx_test_a\nb", "gx_test_ä"] {
        let error = Client::builder().api_key(key).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
    let error = Client::builder().base_url("127.0.0.1:8080").api_key("k").build().unwrap_err();
    assert!(error.to_string().contains("base URL"), "{error}");
    let error =
        Client::builder().base_url("http://127.0.0.1:1").build().unwrap().me().await.unwrap_err();
    assert!(error.to_string().contains("GRANTEX_API_KEY"), "{error}");

    let builder =
        Client::builder().base_url("http://127.0.0.1:1").api_key("gx_test_secret").max_retries(0);
    let printed = format!("{builder:?}");
    let client = builder.timeout(Duration::from_secs(5)).build().unwrap();
    let error = client.me().await.unwrap_err();
    assert!(error.to_string().contains("is the service running"), "{error}");
    assert!(!format!("{printed} {client:?} {error:?} {error}").contains("secret"));
}
