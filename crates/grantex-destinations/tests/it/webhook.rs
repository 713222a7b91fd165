use std::collections::BTreeMap;

use grantex_destinations::conformance::{self, Order, Promises, Receiver};
use grantex_destinations::{EventId, HttpOptions, WebhookDestination, WebhookOptions};
use grantex_receivers::{Fault, Server, Webhook};
use tokio::runtime::Runtime;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Endpoint {
    hook: Webhook,
    server: Server,
}

impl Receiver for Endpoint {
    type Destination = WebhookDestination;

    async fn destination(&self) -> WebhookDestination {
        let options = WebhookOptions {
            url: format!("{}/hook", self.server.url()),
            secret: Some(SECRET.into()),
            previous_secret: None,
            headers: BTreeMap::from([("x-tenant".into(), "acme".into())]),
        };
        WebhookDestination::new("webhook", &options, &HttpOptions::default()).unwrap()
    }

    async fn received(&self) -> Vec<EventId> {
        self.hook.kept.ids().iter().map(|id| id.parse().unwrap()).collect()
    }

    fn promises(&self) -> Promises {
        Promises { order: Order::Total, is_exactly_once: false }
    }

    async fn disturb(&self) {
        let faults = [
            Fault::Status(500),
            Fault::Status(401),
            Fault::Reset,
            Fault::Throttle(0),
            Fault::TakenButStatus(502),
            Fault::TakenButReset,
            Fault::Status(410),
            Fault::Hang(50),
        ];
        self.hook.faults.add(faults);
    }
}

#[test]
fn conforms() {
    let runtime = Runtime::new().unwrap();
    let hook = Webhook::new(SECRET);
    let server = runtime.block_on(Server::start(hook.router(), hook.faults.clone(), 0)).unwrap();
    conformance::check(&Endpoint { hook, server }).unwrap();
}
