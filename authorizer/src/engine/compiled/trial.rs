//! Before an epoch may be decided by its program: random requests, made from the epoch's own schema and constants, both ways.
//!
//! Values are what policies compare with, and their neighbours; sometimes of a wrong type, sometimes absent. Seeded by the content, so that everybody who publishes it
//! tries the same. Guarantees that no epoch is served compiled that differs on these requests; that it differs on none is what the tests are for.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use verifier::json::{Json, Text};
use verifier::request::{Action, Entity, Request};

use super::super::decide::Facts;
use super::super::evaluate::Evaluate;
use super::super::types::{Field, Shape, Type, Types};
use super::engine::Shared;
use super::program::{Program, Root};
use super::value::Value;

/// How many requests are tried: some tens of milliseconds of plain Cedar, once an epoch.
pub(in super::super) const REQUESTS: usize = 512;
/// A time of trial: 2024-05-15T15:00:00Z.
const NOW: u64 = 1_715_785_200_000;
/// How deep a value without a schema nests.
const DEEPEST: u32 = 3;
/// At most so many constants of a kind are drawn from; more would not be drawn.
const MOST: usize = 4_096;

/// Tries both ways; gives the first request whose answers differ.
pub(in super::super) fn differs(
    shared: &Arc<Shared>,
    seed: [u8; 32],
    requests: usize,
    plain: &dyn Evaluate,
    compiled: &dyn Evaluate,
) -> Option<Request> {
    let mut maker = Maker::new(&shared.program, shared.types.as_ref(), seed);
    for _ in 0..requests {
        let (request, authzen) = (maker.request(), maker.one_in(8));
        let facts = Facts { authzen, ..Facts::unsigned("trial", "0a0b0c0d0e0f", NOW) };
        if plain.evaluate(&request, &facts) != compiled.evaluate(&request, &facts) {
            return Some(request);
        }
    }
    None
}

/// Makes requests.
pub(super) struct Maker<'a> {
    types: Option<&'a Types>,
    rng: StdRng,
    texts: Vec<String>,
    longs: Vec<i64>,
    /// Texts of extension values.
    decimals: Vec<String>,
    datetimes: Vec<String>,
    durations: Vec<String>,
    ips: Vec<String>,
    /// Ids by type.
    ids: BTreeMap<String, Vec<String>>,
    /// Names of attributes: of the principal, the resource, the context, and of all.
    names: [Vec<String>; 4],
}

impl<'a> Maker<'a> {
    pub(super) fn new(program: &Program, types: Option<&'a Types>, seed: [u8; 32]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut maker = Self {
            types,
            rng: StdRng::from_seed(seed),
            texts: owned(&["", "a", "ab", "*", "\u{e9}\u{1F512}"]),
            longs: vec![0, 1, -1, 2, 3, i64::MAX, i64::MIN, (1 << 53) - 1, 1 << 53],
            decimals: owned(&[
                "0.0",
                "-0.5",
                "1.2345",
                "922337203685477.5807",
                "-922337203685477.5808",
                "1.00000",
                "1",
            ]),
            datetimes: owned(&[
                "1970-01-01",
                "1969-12-31T23:59:59.999Z",
                "2024-02-29T12:00:00+0130",
                "2023-02-29",
                "x",
            ]),
            durations: owned(&["0ms", "-1ms", "1h30m", "-9223372036854775808ms", "1ms1s", ""]),
            ips: owned(&["10.0.0.1", "10.0.0.0/8", "127.0.0.1", "224.0.0.1", "::1", "ff00::/8", "10.0.0.1/33", "::/0"]),
            ids: BTreeMap::new(),
            names: Default::default(),
        };
        for constant in program.constants.iter().take(MOST) {
            maker.learn(program, *constant);
        }
        let view = program.view();
        for entity in 0..program.pool.entities() {
            let uid = view.uid(entity);
            let ids = maker.ids.entry(view.kind(uid.kind).to_owned()).or_default();
            if ids.len() < MOST {
                ids.push(view.text(uid.id).to_owned());
            }
        }
        let names = (0..).map_while(|name| Some(view.name(name)).filter(|text| !text.is_empty()));
        for (name, text) in (0_u32..).zip(names).take(MOST) {
            let [principal, resource, context, all] = &mut maker.names;
            for (root, names) in [(Root::Principal, principal), (Root::Resource, resource), (Root::Context, context)] {
                if program.slot(root, name).is_some() {
                    names.push(text.to_owned());
                }
            }
            all.push(text.to_owned());
        }
        maker
    }

    /// What a policy compares with, and what lies beside it.
    fn learn(&mut self, program: &Program, value: Value) {
        let view = program.view();
        match value {
            Value::Absent | Value::Bool(_) | Value::Entity(_) => {}
            Value::Long(value) => self.longs.extend([value, value.saturating_add(1), value.saturating_sub(1)]),
            Value::Text(text) => self.texts.push(view.text(text).to_owned()),
            Value::Decimal(value) => {
                let text = |value: i64| {
                    let sign = if value < 0 { "-" } else { "" };
                    let value = value.unsigned_abs();
                    format!("{sign}{}.{:04}", value / 10_000, value % 10_000)
                };
                let around = [value, value.saturating_add(1), value.saturating_sub(1)];
                self.decimals.extend(around.map(text));
            }
            Value::Datetime(ms) => {
                let around = [ms, ms.saturating_add(1), ms.saturating_sub(1), ms.saturating_add(86_400_000)];
                let texts = around.into_iter().filter_map(|ms| jiff::Timestamp::from_millisecond(ms).ok());
                self.datetimes.extend(texts.map(|time| format!("{time:.3}")));
            }
            Value::Duration(ms) => {
                let around = [ms, ms.saturating_add(1), ms.saturating_sub(1)];
                self.durations.extend(around.map(|ms| format!("{ms}ms")));
            }
            Value::Ip(ip) => self.ips.push(ip.text()),
            Value::Set(set) => view.items(set).iter().take(MOST).for_each(|item| self.learn(program, *item)),
            Value::Record(record) => view.pairs(record).iter().for_each(|pair| self.learn(program, pair.value)),
        }
    }

    pub(super) fn one_in(&mut self, many: u32) -> bool {
        self.rng.random_range(0..many.max(1)) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        let at = self.rng.random_range(0..choices.len().max(1));
        choices.get(at).cloned()
    }

    /// One request.
    pub(super) fn request(&mut self) -> Request {
        let mut request = match self.types {
            Some(types) => self.typed(types),
            None => self.untyped(),
        };
        if self.one_in(6) {
            (request.resource.kind, request.resource.id) = (request.subject.kind.clone(), request.subject.id.clone());
            if self.one_in(2) {
                request.resource.properties = request.subject.properties.clone();
            }
        }
        request
    }

    fn typed(&mut self, types: &Types) -> Request {
        let mut names: Vec<&String> = types.actions.keys().collect();
        names.sort_unstable();
        let name = self.of(&names).cloned().filter(|_| !self.one_in(64)).unwrap_or_else(|| "no such action".to_owned());
        let action = types.actions.get(&name);
        let mut kinds: Vec<String> = types.entities.keys().cloned().collect();
        kinds.sort_unstable();
        let entity = |maker: &mut Self, kinds: Vec<String>| {
            let kind = maker.of(&kinds).filter(|_| !maker.one_in(64)).unwrap_or_else(|| "Nothing".to_owned());
            let declared = types.entities.get(&kind);
            let declared_ids: Vec<String> = declared.and_then(|kind| kind.ids.clone()).into_iter().flatten().collect();
            let id =
                if declared_ids.is_empty() { maker.id(&kind) } else { maker.of(&declared_ids).unwrap_or_default() };
            let properties = declared.map(|kind| maker.shape(types, &kind.shape)).unwrap_or_default();
            Entity { kind: kind.into(), id: id.into(), properties: properties.into() }
        };
        let choose = |of: Option<Vec<String>>, rarely: bool| of.filter(|_| !rarely).unwrap_or_else(|| kinds.clone());
        let rarely = self.one_in(32);
        let subject = entity(self, choose(action.map(|action| action.principals.iter().cloned().collect()), rarely));
        let rarely = self.one_in(32);
        let resource = entity(self, choose(action.map(|action| action.resources.iter().cloned().collect()), rarely));
        let context = action.map(|action| self.shape(types, &action.context)).unwrap_or_default();
        let properties = match action.and_then(|action| action.action.as_ref()) {
            Some(Field { ty: Type::Record(shape), required }) if *required || self.one_in(2) => {
                self.shape(types, shape)
            }
            _ if self.one_in(64) => vec![("stray".into(), Json::Bool(true))],
            _ => Vec::new(),
        };
        put(subject, Action { name: name.into(), properties: properties.into() }, resource, context)
    }

    fn id(&mut self, kind: &str) -> String {
        let known = self.ids.get(kind).cloned().unwrap_or_default();
        let known = self.of(&known).filter(|_| !self.one_in(4));
        known.unwrap_or_else(|| format!("u{}", self.rng.random_range(0..4)))
    }

    fn shape(&mut self, types: &Types, shape: &Shape) -> Vec<(Text, Json)> {
        let mut pairs = Vec::with_capacity(shape.len());
        for (name, Field { ty, required }) in shape {
            let left_out = if *required { self.one_in(64) } else { self.one_in(3) };
            if !left_out {
                pairs.push((name.into(), self.value(types, ty)));
            }
        }
        if self.one_in(128) {
            pairs.push(("no such attribute".into(), Json::Null));
        }
        pairs
    }

    fn value(&mut self, types: &Types, ty: &Type) -> Json {
        if self.one_in(128) {
            return self.anything(0);
        }
        match ty {
            Type::Bool => Json::Bool(self.one_in(2)),
            Type::Long => self.long(),
            Type::String => self.text(),
            Type::Decimal if self.one_in(4) => self.number(),
            Type::Decimal => Json::String(Self::drawn(&mut self.rng, &self.decimals).into()),
            Type::Datetime => Json::String(Self::drawn(&mut self.rng, &self.datetimes).into()),
            Type::Duration => Json::String(Self::drawn(&mut self.rng, &self.durations).into()),
            Type::Ip => Json::String(Self::drawn(&mut self.rng, &self.ips).into()),
            Type::Entity(kind) => {
                let declared = types.entities.get(kind).and_then(|kind| kind.ids.as_ref());
                let declared: Vec<String> = declared.into_iter().flatten().cloned().collect();
                let id = if declared.is_empty() || self.one_in(16) {
                    self.id(kind)
                } else {
                    self.of(&declared).unwrap_or_default()
                };
                let text = |text: &str| Json::String(text.into());
                Json::Object(vec![("type".into(), text(kind)), ("id".into(), text(&id))])
            }
            Type::Set(element) => {
                let many = self.rng.random_range(0..4);
                Json::Array((0..many).map(|_| self.value(types, element)).collect())
            }
            Type::Record(shape) => Json::Object(self.shape(types, shape)),
        }
    }

    fn untyped(&mut self) -> Request {
        let kinds: Vec<String> = self.ids.keys().cloned().collect();
        let entity = |maker: &mut Self, root: usize| {
            let kind = maker.of(&kinds).filter(|_| !maker.one_in(8)).unwrap_or_else(|| "Other::Kind".to_owned());
            let id = maker.id(&kind);
            Entity { kind: kind.into(), id: id.into(), properties: maker.record(root, 0).into() }
        };
        let (subject, resource) = (entity(self, 0), entity(self, 1));
        let name = self.id("Action");
        let properties = if self.one_in(2) { self.record(3, 1) } else { Vec::new() };
        let context = self.record(2, 0).into_iter().filter(|(name, _)| name != "action" && name != "interlock");
        let context = context.collect();
        put(subject, Action { name: name.into(), properties: properties.into() }, resource, context)
    }

    /// Some of the names that policies ask for, with any values.
    fn record(&mut self, root: usize, depth: u32) -> Vec<(Text, Json)> {
        let names = self.names.get(root).cloned().unwrap_or_default();
        let mut pairs: Vec<(Text, Json)> = Vec::new();
        let all = self.names.last().and_then(|all| all.last()).cloned();
        let strays = all.into_iter().chain(["stray".to_owned()]);
        for name in names.into_iter().chain(strays) {
            if !self.one_in(3) && pairs.len() < 16 && pairs.iter().all(|(this, _)| *this != name) {
                let value = self.anything(depth);
                pairs.push((name.into(), value));
            }
        }
        pairs
    }

    fn anything(&mut self, depth: u32) -> Json {
        match self.rng.random_range(0..if depth < DEEPEST { 20 } else { 14 }) {
            0 => Json::Null,
            1 | 2 => Json::Bool(self.one_in(2)),
            3..=6 => self.long(),
            7 => self.number(),
            8..=12 => self.text(),
            13 => Json::String(Self::drawn(&mut self.rng, &self.datetimes).into()),
            14..=16 => {
                let many = self.rng.random_range(0..4);
                Json::Array((0..many).map(|_| self.anything(depth + 1)).filter(|json| *json != Json::Null).collect())
            }
            _ => {
                let (mut pairs, many) = (Vec::<(Text, Json)>::new(), self.rng.random_range(0..3));
                for _ in 0..many {
                    let all = self.names.last().cloned().unwrap_or_default();
                    let name = self.of(&all).unwrap_or_default();
                    if pairs.iter().all(|(this, _)| *this != name) {
                        pairs.push((name.into(), self.anything(depth + 1)));
                    }
                }
                Json::Object(pairs)
            }
        }
    }

    fn long(&mut self) -> Json {
        let longs = std::mem::take(&mut self.longs);
        let value = self.of(&longs).unwrap_or_default();
        self.longs = longs;
        Json::Int(value)
    }

    fn number(&mut self) -> Json {
        let value = f64::from(self.rng.random_range(-30_000_i32..30_000));
        Json::Float(value / if self.one_in(8) { 100_000.0 } else { 10_000.0 })
    }

    fn text(&mut self) -> Json {
        let mut text = Self::drawn(&mut self.rng, &self.texts);
        if self.one_in(4) {
            text.push_str(&Self::drawn(&mut self.rng, &self.texts));
        }
        Json::String(text.into())
    }

    fn drawn(rng: &mut StdRng, texts: &[String]) -> String {
        let at = rng.random_range(0..texts.len().max(1));
        texts.get(at).cloned().unwrap_or_default()
    }
}

fn put(subject: Entity, action: Action, resource: Entity, context: Vec<(Text, Json)>) -> Request {
    Request {
        subject,
        action,
        resource,
        context: context.into(),
        idempotency_key: None,
        parent: None,
        delegates: Vec::new(),
        audience: None,
        ttl_ms: None,
        lease_ms: None,
        uses: None,
        deadline: None,
        scopes: Vec::new(),
        assertions: Vec::new(),
        attestation: None,
        retry_of: None,
    }
}
