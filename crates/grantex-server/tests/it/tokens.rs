use base64::Engine as _;
use serde_json::json;

use crate::support::{Client, Service, Token, types};

async fn refresh(client: &Client, agent: &str, token: &str) -> crate::support::Answer {
    client.post("/v1/token/refresh", &json!({"agentId": agent, "refreshToken": token})).await
}

async fn valid(client: &Client, token: &Token) -> bool {
    client.post("/v1/tokens/verify", &json!({"token": token.jwt})).await.ok(200)["valid"] == true
}

async fn reason(client: &Client, jwt: &str) -> String {
    let answer = client.post("/v1/grants/verify", &json!({"token": jwt})).await.ok(200);
    match answer["active"].as_bool() {
        Some(true) => "active".into(),
        _ => answer["reason"].as_str().unwrap().to_owned(),
    }
}

#[tokio::test]
async fn one_code_makes_one_grant() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let code = client.code(&agent, "user-1", &["a:read"], "24h").await;
    // Failed tries burn nothing.
    let other = client.agent().await;
    let exchange = |agent: &str, code: &str| json!({"agentId": agent, "code": code});
    for bad in [exchange(&other, &code), exchange(&agent, "gxc_nonsense"), exchange("x", &code)] {
        client.post("/v1/token", &bad).await.refused(400, "BAD_REQUEST");
    }
    service.sandbox().await.post("/v1/token", &exchange(&agent, &code)).await.refused(400, "BAD_REQUEST");
    let token = Token::read(&client.post("/v1/token", &exchange(&agent, &code)).await.ok(201));
    client.post("/v1/token", &exchange(&agent, &code)).await.refused(400, "BAD_REQUEST");

    let log = client.log().await;
    assert_eq!(types(&log), ["grant.created", "token.issued"]);
    assert_eq!(
        log[0]["data"],
        json!({"grantId": token.grant, "agentId": agent, "principalId": "user-1", "scopes": ["a:read"]})
    );
    let claims = token.claims();
    assert_eq!(
        log[1]["data"],
        json!({"grantId": token.grant, "tokenId": claims["jti"], "method": "exchange"})
    );
    assert_eq!(claims["iss"], service.base);
    assert_eq!(claims["sub"], "user-1");
    assert_eq!(claims["agt"], format!("did:grantex:{agent}"));
    assert_eq!(claims["scp"], json!(["a:read"]));
    assert!(claims.get("bdg").is_none() && claims.get("aud").is_none());
}

#[tokio::test]
async fn pkce_binds_the_code_to_whoever_asked() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let request = json!({"agentId": agent, "principalId": "u", "scopes": ["a"], "codeChallenge": challenge, "codeChallengeMethod": "S256"});
    let code = client.post("/v1/authorize", &request).await.ok(201)["code"].clone();
    client.post("/v1/token", &json!({"agentId": agent, "code": code})).await.refused(400, "BAD_REQUEST");
    for wrong in ["", "short", &"w".repeat(43), &"w".repeat(129), &format!("{verifier}+")] {
        let wrong = json!({"agentId": agent, "code": code, "codeVerifier": wrong});
        client.post("/v1/token", &wrong).await.refused(400, "BAD_REQUEST");
    }
    client
        .post("/v1/token", &json!({"agentId": agent, "code": code, "codeVerifier": verifier}))
        .await
        .ok(201);

    let mut half = request.clone();
    half.as_object_mut().unwrap().remove("codeChallengeMethod");
    client.post("/v1/authorize", &half).await.refused(400, "BAD_REQUEST");
    let mut plain = request;
    plain["codeChallengeMethod"] = json!("plain");
    client.post("/v1/authorize", &plain).await.refused(400, "BAD_REQUEST");
}

#[tokio::test]
async fn tokens_verify_offline_through_the_key_set() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let token = client.token(&client.agent().await).await;
    let keys = service.anonymous().get("/.well-known/jwks.json").await.ok(200);
    let header: serde_json::Value = serde_json::from_slice(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(token.jwt.split('.').next().unwrap())
            .unwrap(),
    )
    .unwrap();
    let key = &keys["keys"][0];
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("RS256"), Some("JWT")));
    assert_eq!(header["kid"], key["kid"]);
    let key = jsonwebtoken::DecodingKey::from_rsa_components(
        key["n"].as_str().unwrap(),
        key["e"].as_str().unwrap(),
    );
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_issuer(&[&service.base]);
    let decoded = jsonwebtoken::decode::<serde_json::Value>(&token.jwt, &key.unwrap(), &validation).unwrap();
    assert_eq!(decoded.claims["grnt"], token.grant.as_str());
}

#[tokio::test]
async fn rotated_signing_keys_leave_old_tokens_valid() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let old = client.token(&agent).await;
    grantex_server::rotate_signing_key(service.folder(), service.clock.as_ref()).unwrap();
    service.restart().await;
    let new = client.token(&agent).await;
    assert_ne!(old.jwt.split('.').next(), new.jwt.split('.').next(), "another kid");
    assert!(valid(&client, &old).await && valid(&client, &new).await);
    let keys = service.anonymous().get("/.well-known/jwks.json").await.ok(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_ends_the_family() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let first = client.token(&agent).await;
    let second = Token::read(&refresh(&client, &agent, &first.refresh).await.ok(201));
    assert_eq!(second.grant, first.grant);
    assert_ne!(second.refresh, first.refresh);
    assert!(valid(&client, &first).await && valid(&client, &second).await);
    // Within the grace, a reuse is refused and nothing else.
    refresh(&client, &agent, &first.refresh).await.refused(400, "BAD_REQUEST");
    let third = Token::read(&refresh(&client, &agent, &second.refresh).await.ok(201));
    // After it, it ends the current one too.
    service.clock.advance(31);
    refresh(&client, &agent, &second.refresh).await.refused(400, "BAD_REQUEST");
    refresh(&client, &agent, &third.refresh).await.refused(400, "BAD_REQUEST");
    assert_eq!(types(&client.log().await), ["grant.created", "token.issued", "token.issued", "token.issued"]);
}

#[tokio::test]
async fn only_its_own_agent_and_developer_can_refresh() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let token = client.token(&agent).await;
    refresh(&client, &client.agent().await, &token.refresh).await.refused(400, "BAD_REQUEST");
    refresh(&service.sandbox().await, &agent, &token.refresh).await.refused(400, "BAD_REQUEST");
    refresh(&client, &agent, "gxr_nonsense").await.refused(400, "BAD_REQUEST");
    refresh(&client, &agent, &token.refresh).await.ok(201);
    client.delete(&format!("/v1/grants/{}", token.grant)).await.ok(204);
    refresh(&client, &agent, &token.refresh).await.refused(400, "BAD_REQUEST");
}

#[tokio::test]
async fn verification_says_why_not() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let token = client.token_for(&agent, "user-1", &["a"], "1h").await;
    let answer = client.post("/v1/tokens/verify", &json!({"token": token.jwt})).await.ok(200);
    assert_eq!(answer["valid"], true);
    assert_eq!(
        (answer["principal"].as_str(), answer["grantId"].as_str()),
        (Some("user-1"), Some(&*token.grant))
    );
    assert_eq!(reason(&client, &token.jwt).await, "active");
    assert_eq!(reason(&service.sandbox().await, &token.jwt).await, "wrong_developer");
    let mut forged = token.jwt.clone();
    forged.truncate(forged.len() - 4);
    forged.push_str("AAAA");
    for nonsense in ["", "a.b.c", &forged, "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(reason(&client, nonsense).await, "not_found");
        let answer = client.post("/v1/tokens/verify", &json!({"token": nonsense})).await.ok(200);
        assert_eq!(answer, json!({"valid": false}));
    }
    // Revoking one token leaves the grant and its other tokens.
    let second = Token::read(&refresh(&client, &agent, &token.refresh).await.ok(201));
    client.post("/v1/tokens/revoke", &json!({"jti": token.claims()["jti"]})).await.ok(204);
    assert_eq!(reason(&client, &token.jwt).await, "revoked");
    assert_eq!(reason(&client, &second.jwt).await, "active");
    let unknown = json!({"jti": "tok_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA"});
    client.post("/v1/tokens/revoke", &unknown).await.refused(404, "NOT_FOUND");
    client.delete(&format!("/v1/grants/{}", token.grant)).await.ok(204);
    assert_eq!(reason(&client, &second.jwt).await, "revoked");

    let short = client.token_for(&agent, "user-1", &["a"], "60s").await;
    assert_eq!(reason(&client, &short.jwt).await, "active");
    service.clock.advance(61);
    assert_eq!(reason(&client, &short.jwt).await, "expired");
}

#[tokio::test]
async fn codes_expire() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let code = client.code(&agent, "u", &["a"], "24h").await;
    service.clock.advance(601);
    client.post("/v1/token", &json!({"agentId": agent, "code": code})).await.refused(400, "BAD_REQUEST");
}
