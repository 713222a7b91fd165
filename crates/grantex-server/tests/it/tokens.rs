use grantex_core::model::{Grant, RefreshToken};
use grantex_types::{AgentId, DeveloperId, GrantId, RefreshId};
use serde_json::json;

use crate::support::{Client, Service, Token, types, until};

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
    service
        .sandbox()
        .await
        .post("/v1/token", &exchange(&agent, &code))
        .await
        .refused(400, "BAD_REQUEST");
    let token = Token::read(&client.post("/v1/token", &exchange(&agent, &code)).await.ok(201));

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
    client
        .post("/v1/token", &json!({"agentId": agent, "code": code}))
        .await
        .refused(400, "BAD_REQUEST");
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
    let header = token.header();
    let key = &keys["keys"][0];
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("RS256"), Some("at+jwt")));
    assert_eq!(header["kid"], key["kid"]);
    let key = jsonwebtoken::DecodingKey::from_rsa_components(
        key["n"].as_str().unwrap(),
        key["e"].as_str().unwrap(),
    );
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_issuer(&[&service.base]);
    let decoded =
        jsonwebtoken::decode::<serde_json::Value>(&token.jwt, &key.unwrap(), &validation).unwrap();
    assert_eq!(decoded.claims["grnt"], token.grant.as_str());
}

#[tokio::test]
async fn tokens_say_the_same_in_the_standards_words() {
    let service = Service::with(|settings| settings.delegation_depth = 10).await;
    let client = service.sandbox().await;
    let developer = client.get("/v1/me").await.ok(200)["developerId"].clone();
    let did = |agent: &str| format!("did:grantex:{agent}");
    let mut agents = vec![client.agent().await];
    let mut token = client.token(&agents[0]).await;
    for depth in 0..=10 {
        let claims = token.claims();
        let agent = &agents[0];
        assert_eq!(token.header()["typ"], "at+jwt");
        assert_eq!(claims["client_id"], agent.as_str());
        let scopes: Vec<_> =
            claims["scp"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
        assert_eq!(claims["scope"], scopes.join(" "));
        let mut grant =
            json!({"grant_id": token.grant, "agent_did": did(agent), "developer_id": developer});
        let mut act = json!(null);
        for above in agents[1..].iter().rev() {
            act = if act.is_null() {
                json!({"sub": did(above)})
            } else {
                json!({"sub": did(above), "act": act})
            };
        }
        if depth > 0 {
            grant["parent_grant_id"] = claims["parentGrnt"].clone();
            grant["delegation_depth"] = json!(depth);
            assert_eq!(claims["parentAgt"], claims["act"]["sub"]);
        }
        assert_eq!(claims["urn:grantex:grant"], grant);
        assert_eq!(claims.get("act").cloned().unwrap_or_default(), act, "depth {depth}");
        assert!(claims.as_object().unwrap().values().all(|claim| !claim.is_null()), "{claims}");
        // A refreshed token says it too.
        let refreshed = Token::read(&refresh(&client, agent, &token.refresh).await.ok(201));
        assert_eq!(refreshed.claims()["act"], claims["act"]);
        if depth < 10 {
            agents.insert(0, client.agent().await);
            token = client.delegate(&refreshed, &agents[0]).await;
        }
    }
}

#[tokio::test]
async fn older_grants_keep_their_scopes_and_their_tokens_their_form() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let (agent, helper) = (client.agent().await, client.agent().await);
    let ask = |scope: &str| json!({"agentId": agent, "principalId": "u", "scopes": [scope]});
    for scope in ["read all", "say\"it", "a\\b", "lesen-ü"] {
        client.post("/v1/authorize", &ask(scope)).await.refused(400, "BAD_REQUEST");
        client
            .post("/v1/agents", &json!({"name": "a", "scopes": [scope]}))
            .await
            .refused(400, "BAD_REQUEST");
    }
    // As it could be asked for before.
    let me = client.get("/v1/me").await.ok(200);
    let (developer_id, agent_id): (DeveloperId, AgentId) =
        (me["developerId"].as_str().unwrap().parse().unwrap(), agent.parse().unwrap());
    let older = service
        .write_before(move |tx| {
            let now = tx.now();
            let grant = Grant {
                id: GrantId::from_parts(now.millis(), tx.random()),
                developer_id,
                agent_id,
                principal_id: "u".into(),
                scopes: serde_json::from_str(r#"["read all", "b"]"#).unwrap(),
                audience: None,
                issued_at: now,
                expires_at: now.plus("24h".parse().unwrap()),
                revoked_at: None,
                lapsed: false,
                parent_id: None,
                depth: 0,
            };
            tx.insert_grant(&grant)?;
            let refresh = RefreshToken {
                id: RefreshId::from_parts(now.millis(), tx.random()),
                developer_id,
                grant_id: grant.id,
                expires_at: grant.expires_at,
                spent_at: None,
                ended_at: None,
            };
            tx.insert_refresh_token(&refresh)?;
            Ok(refresh.id)
        })
        .await;
    let secret = grantex_server::Secrets::load(&grantex_server::KeyFolder::new(service.folder()))
        .unwrap()
        .refresh_token(older);
    let token = Token::read(&refresh(&client, &agent, &secret).await.ok(201));
    let delegate = |scopes: &[&str]| json!({"parentGrantToken": token.jwt, "subAgentId": helper, "scopes": scopes});
    let below = client.post("/v1/grants/delegate", &delegate(&["read all"])).await.ok(201);
    for token in [&token, &Token::read(&below)] {
        assert_eq!(token.header()["typ"], "JWT");
        let claims = token.claims();
        for name in ["scope", "client_id", "urn:grantex:grant", "act"] {
            assert!(claims.get(name).is_none(), "{name}");
        }
        assert_eq!(claims["scp"][0], "read all");
        assert_eq!(reason(&client, &token.jwt).await, "active");
    }
    // What of it OAuth can write is written so.
    let plain = Token::read(&client.post("/v1/grants/delegate", &delegate(&["b"])).await.ok(201));
    assert_eq!(
        (plain.header()["typ"].as_str(), plain.claims()["scope"].as_str()),
        (Some("at+jwt"), Some("b"))
    );
    client.post("/v1/grants/delegate", &delegate(&["c"])).await.refused(400, "BAD_REQUEST");
}

#[tokio::test]
async fn rotated_signing_keys_leave_old_tokens_valid() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let old = client.token(&agent).await;
    grantex_server::rotate_signing_key(
        &grantex_server::KeyFolder::new(service.folder()),
        service.clock.as_ref(),
    )
    .unwrap();
    service.restart().await;
    let new = client.token(&agent).await;
    assert_ne!(old.jwt.split('.').next(), new.jwt.split('.').next(), "another kid");
    assert!(valid(&client, &old).await && valid(&client, &new).await);
    let keys = service.anonymous().get("/.well-known/jwks.json").await.ok(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_ends_the_grant() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let (agent, helper) = (client.agent().await, client.agent().await);
    let first = client.token(&agent).await;
    let second = Token::read(&refresh(&client, &agent, &first.refresh).await.ok(201));
    assert_eq!(second.grant, first.grant);
    assert_ne!(second.refresh, first.refresh);
    assert!(valid(&client, &first).await && valid(&client, &second).await);
    // Within the grace, a reuse is refused and nothing else.
    refresh(&client, &agent, &first.refresh).await.refused(400, "BAD_REQUEST");
    let third = Token::read(&refresh(&client, &agent, &second.refresh).await.ok(201));
    let delegated = client.delegate(&third, &helper).await;
    assert!(valid(&client, &third).await && valid(&client, &delegated).await);
    // After it, it ends everything that a thief could have: the current refresh token, the tokens,
    // and what was delegated with them.
    service.clock.advance(31);
    let before = client.log().await.len();
    refresh(&client, &agent, &second.refresh).await.refused(400, "BAD_REQUEST");
    refresh(&client, &agent, &third.refresh).await.refused(400, "BAD_REQUEST");
    refresh(&client, &helper, &delegated.refresh).await.refused(400, "BAD_REQUEST");
    for token in [&first, &second, &third, &delegated] {
        assert_eq!(reason(&client, &token.jwt).await, "revoked");
        let delegate =
            json!({"parentGrantToken": token.jwt, "subAgentId": helper, "scopes": ["a:read"]});
        client.post("/v1/grants/delegate", &delegate).await.refused(400, "BAD_REQUEST");
    }
    let events = client.log().await.split_off(before);
    assert_eq!(types(&events), ["grant.revoked", "grant.revoked"]);
    for (event, grant) in events.iter().zip([&first.grant, &delegated.grant]) {
        assert_eq!(event["data"], json!({"grantId": grant, "revokedBy": "system"}));
    }
    // A second reuse finds nothing more to end.
    refresh(&client, &agent, &second.refresh).await.refused(400, "BAD_REQUEST");
    assert_eq!(client.log().await.len(), before + 2);
}

#[tokio::test]
async fn a_reuse_below_leaves_the_grant_above() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let (agent, helper) = (client.agent().await, client.agent().await);
    let parent = client.token(&agent).await;
    let child = client.delegate(&parent, &helper).await;
    refresh(&client, &helper, &child.refresh).await.ok(201);
    service.clock.advance(31);
    refresh(&client, &helper, &child.refresh).await.refused(400, "BAD_REQUEST");
    assert_eq!(reason(&client, &child.jwt).await, "revoked");
    assert_eq!(reason(&client, &parent.jwt).await, "active");
}

#[tokio::test]
async fn an_idempotent_repeat_is_no_reuse() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let code = client.code(&agent, "user-1", &["a:read"], "48h").await;
    let exchange = json!({"agentId": agent, "code": code});
    let first = client.post_once("/v1/token", "e", &exchange).await.ok(201);
    let spend = json!({"agentId": agent, "refreshToken": first["refreshToken"]});
    let second = client.post_once("/v1/token/refresh", "r", &spend).await.ok(201);
    service.clock.advance(3600);
    assert_eq!(client.post_once("/v1/token", "e", &exchange).await.ok(201), first);
    assert_eq!(client.post_once("/v1/token/refresh", "r", &spend).await.ok(201), second);
    assert_eq!(reason(&client, second["grantToken"].as_str().unwrap()).await, "active");
    // Under another key, or none, it is one.
    client.post_once("/v1/token/refresh", "other", &spend).await.refused(400, "BAD_REQUEST");
    assert_eq!(reason(&client, second["grantToken"].as_str().unwrap()).await, "revoked");
    // The answer that is kept stays what it was; what it names is over.
    assert_eq!(client.post_once("/v1/token", "e", &exchange).await.ok(201), first);
}

#[tokio::test]
async fn a_code_used_again_revokes_what_it_made() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let (agent, helper) = (client.agent().await, client.agent().await);
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let request = json!({"agentId": agent, "principalId": "u", "scopes": ["a:read"], "codeChallenge": challenge, "codeChallengeMethod": "S256"});
    let code = client.post("/v1/authorize", &request).await.ok(201)["code"].clone();
    let exchange = |agent: &str, verifier: &str| json!({"agentId": agent, "code": code, "codeVerifier": verifier});
    let token = Token::read(&client.post("/v1/token", &exchange(&agent, verifier)).await.ok(201));
    let refreshed = Token::read(&refresh(&client, &agent, &token.refresh).await.ok(201));
    let delegated = client.delegate(&refreshed, &helper).await;

    // Whoever could not have exchanged it cannot end anything with it either.
    let other = service.sandbox().await;
    other.post("/v1/token", &exchange(&agent, verifier)).await.refused(400, "BAD_REQUEST");
    client.post("/v1/token", &exchange(&helper, verifier)).await.refused(400, "BAD_REQUEST");
    client.post("/v1/token", &exchange(&agent, &"w".repeat(43))).await.refused(400, "BAD_REQUEST");
    client
        .post("/v1/token", &json!({"agentId": agent, "code": code}))
        .await
        .refused(400, "BAD_REQUEST");
    for token in [&token, &refreshed, &delegated] {
        assert_eq!(reason(&client, &token.jwt).await, "active");
    }

    let before = client.log().await.len();
    client.post("/v1/token", &exchange(&agent, verifier)).await.refused(400, "BAD_REQUEST");
    for token in [&token, &refreshed, &delegated] {
        assert_eq!(reason(&client, &token.jwt).await, "revoked");
    }
    let events = client.log().await.split_off(before);
    assert_eq!(types(&events), ["grant.revoked", "grant.revoked"]);
    assert_eq!(events[0]["data"], json!({"grantId": token.grant, "revokedBy": "system"}));
    client.post("/v1/token", &exchange(&agent, verifier)).await.refused(400, "BAD_REQUEST");
    assert_eq!(client.log().await.len(), before + 2);
}

#[tokio::test]
async fn a_token_ends_before_its_grant() {
    let service = Service::with(|settings| settings.token_lifetime = "10m".parse().unwrap()).await;
    let client = service.sandbox().await;
    let (agent, helper) = (client.agent().await, client.agent().await);
    let code = client.code(&agent, "user-1", &["a:read"], "36500d").await;
    let made = client.post("/v1/token", &json!({"agentId": agent, "code": code})).await.ok(201);
    let token = Token::read(&made);
    let claims = token.claims();
    // Whole seconds, rounded up.
    assert!(matches!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600 | 601));
    let grant = client.get(&format!("/v1/grants/{}", token.grant)).await.ok(200);
    assert!(made["expiresAt"].as_str().unwrap() < grant["expiresAt"].as_str().unwrap());
    let delegate = json!({"parentGrantToken": token.jwt, "subAgentId": helper, "scopes": ["a:read"], "expiresIn": "30d"});
    let delegated = Token::read(&client.post("/v1/grants/delegate", &delegate).await.ok(201));
    assert_eq!(reason(&client, &token.jwt).await, "active");

    service.clock.advance(601);
    for token in [&token, &delegated] {
        assert_eq!(reason(&client, &token.jwt).await, "expired");
        let path = format!("/v1/grants/{}", token.grant);
        assert_eq!(client.get(&path).await.ok(200)["status"], "active", "the grant lives on");
    }
    client.post("/v1/grants/delegate", &delegate).await.refused(400, "BAD_REQUEST");
    // The refresh token lives as long as the grant.
    service.clock.advance(30 * 24 * 3600 - 700);
    let fresh = Token::read(&refresh(&client, &agent, &token.refresh).await.ok(201));
    let child = Token::read(&refresh(&client, &helper, &delegated.refresh).await.ok(201));
    assert_eq!(reason(&client, &fresh.jwt).await, "active");
    // The grant's end comes first.
    let left = child.claims()["exp"].as_u64().unwrap() - child.claims()["iat"].as_u64().unwrap();
    assert!(left <= 101, "{left}");
}

#[tokio::test]
async fn a_signing_key_leaves_when_nothing_it_signed_can_be_valid() {
    let mut service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let old = client.token_for(&agent, "user-1", &["a"], "365d").await;
    grantex_server::rotate_signing_key(
        &grantex_server::KeyFolder::new(service.folder()),
        service.clock.as_ref(),
    )
    .unwrap();
    service.restart().await;
    let keys = |service: &Service| {
        let reader = service.anonymous();
        async move {
            reader.get("/.well-known/jwks.json").await.ok(200)["keys"].as_array().unwrap().len()
        }
    };
    service.clock.advance(23 * 3600);
    service.restart().await;
    assert_eq!(keys(&service).await, 2, "its token is valid for another hour");
    service.clock.advance(2 * 3600);
    assert_eq!(reason(&client, &old.jwt).await, "expired");
    service.restart().await;
    until("the old key is gone", || async { keys(&service).await == 1 }).await;
    // The grant lives on, with tokens that the new key signs.
    refresh(&client, &agent, &old.refresh).await.ok(201);
}

#[tokio::test]
async fn every_agent_of_the_chain_has_to_be_active() {
    let service = Service::with(|settings| settings.delegation_depth = 10).await;
    let client = service.sandbox().await;
    let mut agents = vec![client.agent().await];
    let mut tokens = vec![client.token(&agents[0]).await];
    for _ in 0..10 {
        agents.push(client.agent().await);
        let token = client.delegate(tokens.last().unwrap(), agents.last().unwrap()).await;
        tokens.push(token);
    }
    let set = |agent: &str, status: &str| {
        let path = format!("/v1/agents/{agent}");
        let request =
            client.request(reqwest::Method::PATCH, &path).json(&json!({"status": status}));
        client.send(request)
    };
    let (leaf, middle) = (tokens[10].clone(), 5);
    let sibling = client.agent().await;
    for _ in 0..2 {
        // Twice, so that it is answered from memory too.
        for token in &tokens {
            assert_eq!(reason(&client, &token.jwt).await, "active");
        }
        set(&agents[middle], "suspended").await.ok(200);
        for (depth, token) in tokens.iter().enumerate() {
            let expected = if depth < middle { "active" } else { "agent_suspended" };
            assert_eq!(reason(&client, &token.jwt).await, expected, "depth {depth}");
            assert_eq!(valid(&client, token).await, depth < middle);
        }
        let delegate = |token: &Token| json!({"parentGrantToken": token.jwt, "subAgentId": sibling, "scopes": ["a:read"]});
        client.post("/v1/grants/delegate", &delegate(&tokens[6])).await.refused(400, "BAD_REQUEST");
        client.post("/v1/grants/delegate", &delegate(&tokens[4])).await.ok(201);
        refresh(&client, &agents[10], &leaf.refresh).await.refused(400, "BAD_REQUEST");
        // Revocation is final, suspension is not.
        set(&agents[middle], "active").await.ok(200);
    }
    assert_eq!(reason(&client, &leaf.jwt).await, "active");
    refresh(&client, &agents[10], &leaf.refresh).await.ok(201);
    set(&agents[middle], "suspended").await.ok(200);
    client.delete(&format!("/v1/agents/{}", agents[middle])).await.ok(204);
    assert_eq!(reason(&client, &leaf.jwt).await, "revoked");
}

#[tokio::test]
async fn verification_for_an_audience() {
    let service = Service::start().await;
    let client = service.sandbox().await;
    let agent = client.agent().await;
    let request = json!({"agentId": agent, "principalId": "u", "scopes": ["a"], "audience": "https://api.example"});
    let code = client.post("/v1/authorize", &request).await.ok(201)["code"].clone();
    let token = Token::read(
        &client.post("/v1/token", &json!({"agentId": agent, "code": code})).await.ok(201),
    );
    let open = client.token(&agent).await;
    let check = |jwt: &str, audience: serde_json::Value| {
        let (client, body) = (client.clone(), json!({"token": jwt, "audience": audience}));
        async move {
            let valid = client.post("/v1/tokens/verify", &body).await.ok(200);
            let grant = client.post("/v1/grants/verify", &body).await.ok(200);
            (valid, grant)
        }
    };
    for audience in [json!("https://api.example"), json!(null)] {
        let (valid, grant) = check(&token.jwt, audience).await;
        assert_eq!((&valid["valid"], &valid["aud"]), (&json!(true), &json!("https://api.example")));
        assert_eq!(grant["claims"]["aud"], "https://api.example");
    }
    for (jwt, audience) in [
        (&token.jwt, "https://other.example"),
        (&token.jwt, ""),
        (&open.jwt, "https://api.example"),
    ] {
        let (valid, grant) = check(jwt, json!(audience)).await;
        assert_eq!(valid, json!({"valid": false}), "{audience}");
        assert_eq!(grant, json!({"active": false, "reason": "wrong_audience"}));
    }
    let (valid, _) = check(&open.jwt, json!(null)).await;
    assert!(valid["valid"] == true && valid.get("aud").is_none(), "{valid}");
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
    client
        .post("/v1/token", &json!({"agentId": agent, "code": code}))
        .await
        .refused(400, "BAD_REQUEST");
}
