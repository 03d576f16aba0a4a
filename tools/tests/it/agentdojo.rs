//! AgentDojo's user tasks and prompt injections through a spawned server: in every session of a suite every injected call is tried.
//!
//! What the grants are derived from: the benchmark's ground truth of what each user asked for, call by call. It stands for what an operator
//! must supply before a session begins: the user's own confirmation of which tools the agent may use with which arguments. How that is
//! obtained (a form, a plan that the user accepts before anything untrusted is read) is outside Interlock; that nothing else runs is not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::house::{House, Http, Server, data, ok, root};

/// Tools without arguments.
const BARE: [&str; 4] = ["get_current_day", "get_scheduled_transactions", "get_unread_emails", "list_files"];

/// One line of the recorded traffic.
#[derive(Clone, Debug, PartialEq)]
struct Call {
    session: String,
    tool: String,
    args: Value,
}

impl Call {
    /// The tool takes no arguments.
    fn is_bare(&self) -> bool {
        BARE.contains(&self.tool.as_str())
    }

    fn request(&self, session: &str, resource: &str) -> Value {
        let mut action = json!({ "name": self.tool });
        if !self.is_bare() {
            action["properties"] = self.args.clone();
        }
        json!({
            "subject": { "type": "Session", "id": session },
            "action": action,
            "resource": { "type": resource, "id": "user" },
        })
    }
}

/// The calls of a kind.
fn calls(text: &str, kind: &str) -> Vec<Call> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_kind = lines.filter(|line| line["kind"] == kind);
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    of_kind
        .map(|line| Call { session: name(&line["session"]), tool: name(&line["tool"]), args: line["args"].clone() })
        .collect()
}

/// Each session with what its user asked for, in Cedar's JSON entity format.
fn mandates(asked: &[Call]) -> Value {
    let mut of = BTreeMap::<&str, Map<String, Value>>::new();
    for call in asked {
        let mandate = of.entry(&call.session).or_default();
        if call.is_bare() {
            mandate.insert(call.tool.clone(), Value::Bool(true));
        } else {
            let arguments = mandate.entry(&call.tool).or_insert_with(|| json!([]));
            arguments.as_array_mut().unwrap().push(registered(&call.args));
        }
    }
    let entity = |(id, mandate)| json!({ "uid": { "type": "Session", "id": id }, "attrs": { "mandate": mandate }, "parents": [] });
    of.into_iter().map(entity).collect()
}

/// Arguments as attributes: amounts are decimals, which Cedar's format writes as text.
fn registered(args: &Value) -> Value {
    let mut args = args.clone();
    if let Some(amount) = args.get_mut("amount") {
        *amount = Value::String(format!("{:.2}", amount.as_f64().unwrap()));
    }
    args
}

/// What the server says about calls in a session.
fn decide(http: &Http, server: &Server, house: &House, requests: &[Value]) -> Vec<Value> {
    let (status, answers) =
        http.decide(&server.decisions, &house.api_key, &Value::Array(requests.to_vec()).to_string()).unwrap();
    assert_eq!(status, 200, "{answers}");
    let answers = answers.as_array().unwrap().clone();
    assert_eq!(answers.len(), requests.len());
    answers
}

fn run(suite: &str, resource: &str, engine: &str) {
    let Some(file) = data(&format!("agentdojo-{suite}.ndjson")) else { return };
    let text = std::fs::read_to_string(file).unwrap();
    let (asked, injected) = (calls(&text, "user"), calls(&text, "injection"));
    let sessions: BTreeSet<&str> = asked.iter().map(|call| call.session.as_str()).collect();

    let house = House::new();
    let entities = house.path("mandates.json");
    std::fs::write(&entities, mandates(&asked).to_string()).unwrap();
    let trust = house.path("engine.toml");
    std::fs::write(&trust, format!("[engine]\nkind = \"{engine}\"\n")).unwrap();
    let policies = root().join("testdata/policies").join(format!("agentdojo-{suite}"));
    let at = |name: &str| policies.join(name).to_str().unwrap().to_owned();
    let (policy, schema, log, key) =
        (at("policies.cedar"), at("schema.cedarschema"), house.path("log"), house.path("admin_key"));
    ok([
        "policy",
        "publish",
        "--data",
        &log,
        "--key-file",
        &key,
        "--policies",
        &policy,
        "--schema",
        &schema,
        "--entities",
        &entities,
        "--trust",
        &trust,
    ]);
    let (server, http) = (house.serve(), Http::new());

    let (mut allowed, mut tried, mut denied, mut asked_too) = (0, 0, 0, 0);
    for session in &sessions {
        let own: Vec<&Call> = asked.iter().filter(|call| call.session == *session).collect();
        let requests: Vec<Value> = own.iter().map(|call| call.request(session, resource)).collect();
        for (call, answer) in own.iter().zip(decide(&http, &server, &house, &requests)) {
            assert_eq!(answer["decision"], true, "{call:?}: {answer}");
            allowed += 1;
        }
        let requests: Vec<Value> = injected.iter().map(|call| call.request(session, resource)).collect();
        for (call, answer) in injected.iter().zip(decide(&http, &server, &house, &requests)) {
            let wanted = own.iter().any(|own| (&own.tool, &own.args) == (&call.tool, &call.args));
            assert_eq!(answer["decision"], wanted, "{call:?} in {session}: {answer}");
            tried += 1;
            denied += usize::from(!wanted);
            asked_too += usize::from(wanted);
        }
    }
    // A session that nobody registered may do nothing at all.
    let requests: Vec<Value> = asked.iter().map(|call| call.request("somebody-else", resource)).collect();
    for answer in decide(&http, &server, &house, &requests) {
        assert_eq!(answer["decision"], false, "{answer}");
    }
    assert!(allowed == asked.len() && tried == injected.len() * sessions.len() && denied > tried / 2);
    println!(
        "{suite}: {allowed} calls that {} users asked for, all allowed; {tried} injected, {denied} denied, {asked_too} that the user had asked for too",
        sessions.len()
    );
    let governors = house.path("log/keys/admin.vkeys");
    let said = ok(["replay", &server.public, "--vkey", &house.vkey, "--governors", &governors]);
    let all = allowed + tried + asked.len();
    assert!(said.contains(&format!("{all} decisions: {all} came out byte for byte")), "{said}");
}

#[test]
fn in_every_banking_session_injected_calls_are_denied_and_what_the_user_asked_for_is_allowed() {
    run("banking", "Account", "compiled");
}

#[test]
fn plain_cedar_denies_injected_calls_in_every_banking_session() {
    run("banking", "Account", "cedar");
}

#[test]
fn in_every_workspace_session_injected_calls_are_denied_and_what_the_user_asked_for_is_allowed() {
    run("workspace", "Workspace", "compiled");
}

#[test]
fn plain_cedar_denies_injected_calls_in_every_workspace_session() {
    run("workspace", "Workspace", "cedar");
}
