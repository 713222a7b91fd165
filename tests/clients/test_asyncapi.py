"""The AsyncAPI document: valid, and true of what the streams send."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import httpx
import jsonschema_rs
import yaml
from conftest import HERE, Service

VALIDATE = """
import { Parser } from '@asyncapi/parser';
let text = '';
for await (const chunk of process.stdin) text += chunk;
const { diagnostics } = await new Parser().parse(text);
const errors = diagnostics.filter((diagnostic) => diagnostic.severity === 0);
console.log(JSON.stringify(errors.map((error) => `${error.path.join('.')}: ${error.message}`)));
"""


def document(service: Service) -> str:
    return httpx.get(f"{service.base}/asyncapi.yaml").raise_for_status().text


def test_it_is_valid(service: Service) -> None:
    command = ["node", "--input-type=module", "--eval", VALIDATE]
    done = subprocess.run(
        command, input=document(service), capture_output=True, text=True, cwd=HERE, check=True
    )
    assert json.loads(done.stdout) == []


def test_every_event_is_as_it_says(service: Service) -> None:
    grant = service.grant()
    service.post("/v1/budget/allocate", {"grantId": grant, "initialBudget": 100})
    service.post("/v1/budget/debit", {"grantId": grant, "amount": "99.5"})
    service.post("/v1/budget/debit", {"grantId": grant, "amount": "0.5"})
    service.revoke(grant)
    components: dict[str, Any] = yaml.safe_load(document(service))["components"]
    payloads = {message["name"]: message["payload"] for message in components["messages"].values()}
    events = service.log()
    for event in events:
        schema = {"components": components, **payloads[event["type"]]}
        jsonschema_rs.validator_for(schema).validate(event)
    assert {event["type"] for event in events} == set(payloads) - {"filter"}
