//! Proxies, certificate authorities and client certificates, which all destinations behind HTTP
//! share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grantex_destinations::{
    EventDestination as _, HttpOptions, S3Destination, S3Options, WebhookDestination,
    WebhookOptions,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn webhook(url: &str, http: &HttpOptions) -> WebhookDestination {
    let options = WebhookOptions {
        url: url.into(),
        secret: None,
        previous_secret: None,
        headers: BTreeMap::new(),
    };
    WebhookDestination::new("webhook", &options, http).unwrap()
}

/// An authority, and a certificate of it for loopback with its key, as PEM files.
struct Authority {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn authority(folder: &Path) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own =
        CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &issuer).unwrap();
    let write = |name: &str, pem: String| {
        let path = folder.join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    Authority {
        ca: write("ca.pem", issuer.pem()),
        certificate: write("own.pem", own.pem()),
        key: write("own.key", key.serialize_pem()),
    }
}

/// A server that shows the authority's certificate and wants to see one of it.
async fn mutual(files: &Authority) -> String {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    server(TlsAcceptor::from(Arc::new(config))).await
}

/// Answers every request with 204.
async fn server(acceptor: TlsAcceptor) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            // A client that shows no certificate is let go only now.
            let Ok(1..) = socket.read(&mut [0; 4096]).await else { continue };
            socket
                .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            socket.shutdown().await.ok();
        }
    });
    url
}

#[tokio::test]
async fn an_own_authority_and_a_client_certificate_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let files = authority(folder.path());
    let url = mutual(&files).await;
    let known = HttpOptions { ca_file: Some(files.ca.clone()), ..HttpOptions::default() };
    let complete = HttpOptions {
        client_cert_file: Some(files.certificate.clone()),
        client_key_file: Some(files.key.clone()),
        ..known.clone()
    };
    assert!(webhook(&url, &complete).probe().await.is_ok());
    let stranger = webhook(&url, &HttpOptions::default()).probe().await.unwrap_err().to_string();
    assert!(stranger.contains("certificate"), "{stranger}");
    assert!(webhook(&url, &known).probe().await.is_err(), "the server wants a certificate");
    let half = HttpOptions { client_key_file: None, ..complete };
    let options =
        WebhookOptions { url, secret: None, previous_secret: None, headers: BTreeMap::new() };
    let told = WebhookDestination::new("webhook", &options, &half).unwrap_err();
    assert_eq!(told.key.as_deref(), Some("client_key_file"));
}

#[tokio::test]
async fn the_usual_self_signed_certificate_is_trusted_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // As `openssl req -x509` makes it: it says that it is an authority.
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap();
    let file = folder.path().join("own.pem");
    std::fs::write(&file, own.pem()).unwrap();
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.into()], key)
        .unwrap();
    let url = server(TlsAcceptor::from(Arc::new(config))).await;
    let named = HttpOptions { ca_file: Some(file), ..HttpOptions::default() };
    webhook(&url, &named).probe().await.unwrap();
    let told = webhook(&url, &HttpOptions::default()).probe().await.unwrap_err().to_string();
    assert!(told.contains("certificate"), "{told}");
    // An object store is reached by the same client: its answer is none of S3's, but it is one.
    let options = S3Options {
        endpoint: Some(url.trim_end_matches("/hook").into()),
        region: Some("us-east-1".into()),
        access_key_id: Some("id".into()),
        secret_access_key: Some("secret".to_owned().into()),
        ..S3Options::new("bucket")
    };
    let bucket = |http: &HttpOptions| S3Destination::new("s3", options.clone(), http).unwrap();
    let unreached = |told: &str| told.contains("error sending request");
    let told = bucket(&HttpOptions::default()).probe().await.unwrap_err().to_string();
    assert!(unreached(&told), "{told}");
    if let Err(error) = bucket(&named).probe().await {
        assert!(!unreached(&error.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let count = socket.read(&mut head).await.unwrap();
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&head[..count]).into_owned()
    });
    let http = HttpOptions { proxy: Some(proxy), ..HttpOptions::default() };
    webhook("http://receiver.example/hook", &http).probe().await.unwrap();
    assert!(asked.await.unwrap().starts_with("HEAD http://receiver.example/hook HTTP/1.1"));
}
