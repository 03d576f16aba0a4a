//! Evaluation: a condition over a request that was read, to a value. What errs is absent, so nothing on the way is unwrapped.
//!
//! Cedar's rules, one arm each. Operands are evaluated in Cedar's order, and since every error is the same here, only where Cedar stops matters: `&&`, `||` and `if`. Recurses
//! as deep as a condition nests, which publishing has bounded. Computed sets, records and texts live in the scratch until the decision ends.

use super::extensions::{self, Ip, whole};
use super::pattern;
use super::program::{Binary, List, Node, Program, Unary};
use super::scratch::Scratch;
use super::value::{Pair, Value};

/// One decision: the program, and what was read of the request.
pub(super) struct Evaluation<'a> {
    pub program: &'a Program,
    pub scratch: &'a mut Scratch,
}

impl Evaluation<'_> {
    /// The value of a node.
    pub(super) fn value(&mut self, node: u32) -> Value {
        let program = self.program;
        let Some(node) = program.nodes.get(node as usize) else { return Value::Absent };
        match *node {
            Node::Constant(number) => program.constant(number),
            Node::Slot(slot) => self.scratch.slot(slot),
            Node::HasSlot(slot) => Value::Bool(self.scratch.slot(slot) != Value::Absent),
            Node::Principal => Value::Entity(self.scratch.principal.entity),
            Node::Action => Value::Entity(self.scratch.action),
            Node::Resource => Value::Entity(self.scratch.resource.entity),
            Node::Context => Value::Record(self.scratch.context),
            Node::Attribute { of, name } => {
                let of = self.value(of);
                match self.attribute(of, name) {
                    Some(Some(value)) => value,
                    Some(None) | None => Value::Absent,
                }
            }
            Node::Has { of, name } => {
                let of = self.value(of);
                self.attribute(of, name).map_or(Value::Absent, |value| Value::Bool(value.is_some()))
            }
            Node::HasPath { of, names } => {
                let of = self.value(of);
                self.has_path(of, names)
            }
            Node::Unary { op, of } => {
                let of = self.value(of);
                self.unary(op, of).unwrap_or_default()
            }
            Node::Binary { op, left, right } => {
                let left = self.value(left);
                if left == Value::Absent {
                    return Value::Absent;
                }
                let right = self.value(right);
                if right == Value::Absent {
                    return Value::Absent;
                }
                self.binary(op, left, right).unwrap_or_default()
            }
            Node::And(operands) => self.chain(operands, true),
            Node::Or(operands) => self.chain(operands, false),
            Node::If { test, then, other } => match self.value(test) {
                Value::Bool(true) => self.value(then),
                Value::Bool(false) => self.value(other),
                _ => Value::Absent,
            },
            Node::Like { of, between } => match self.value(of) {
                Value::Text(text) => {
                    let view = self.scratch.view(program);
                    let texts = program.list(between).iter().map(|number| match program.constant(*number) {
                        Value::Text(text) => view.text(text),
                        _ => "",
                    });
                    Value::Bool(pattern::matches(view.text(text), texts))
                }
                _ => Value::Absent,
            },
            Node::Is { of, kind } => match self.value(of) {
                Value::Entity(entity) => Value::Bool(self.scratch.view(program).uid(entity).kind == kind),
                _ => Value::Absent,
            },
            Node::Set(elements) => self.set(elements),
            Node::Record(attributes) => self.record(attributes),
        }
    }

    /// `&&` goes on while its operands are true, `||` while they are false; each that is reached must be a boolean.
    fn chain(&mut self, operands: List, while_it_is: bool) -> Value {
        for operand in self.program.list(operands) {
            match self.value(*operand) {
                Value::Bool(value) if value == while_it_is => {}
                Value::Bool(value) => return Value::Bool(value),
                _ => return Value::Absent,
            }
        }
        Value::Bool(while_it_is)
    }

    /// Outer `None`: an error, whether the attribute is asked for or looked for. Inner `None`: it is not there.
    fn attribute(&self, of: Value, name: u32) -> Option<Option<Value>> {
        let view = self.scratch.view(self.program);
        match of {
            Value::Record(record) => Some(view.attribute(record, name)),
            Value::Entity(entity) => {
                let sight = self.scratch.sight(self.program, entity);
                Some(sight.and_then(|sight| view.attribute(sight.attributes, name)))
            }
            _ => None,
        }
    }

    fn has_path(&self, of: Value, names: List) -> Value {
        let mut of = of;
        for name in self.program.list(names) {
            match self.attribute(of, *name) {
                Some(Some(value)) => of = value,
                Some(None) => return Value::Bool(false),
                None => return Value::Absent,
            }
        }
        Value::Bool(true)
    }

    fn set(&mut self, elements: List) -> Value {
        let start = self.scratch.items.len();
        for element in self.program.list(elements) {
            match self.value(*element) {
                Value::Absent => {
                    self.scratch.items.truncate(start);
                    return Value::Absent;
                }
                value => self.scratch.items.push(value),
            }
        }
        self.scratch.close_set(self.program, start)
    }

    fn record(&mut self, attributes: List) -> Value {
        let start = self.scratch.pairs.len();
        for attribute in self.program.list(attributes).chunks_exact(2) {
            let &[name, node] = attribute else { return Value::Absent };
            match self.value(node) {
                Value::Absent => {
                    self.scratch.pairs.truncate(start);
                    return Value::Absent;
                }
                value => self.scratch.pairs.push(Pair { name, value }),
            }
        }
        Value::Record(self.scratch.close_record(self.program, start))
    }

    fn unary(&self, op: Unary, of: Value) -> Option<Value> {
        Some(match (op, of) {
            (Unary::Not, Value::Bool(value)) => Value::Bool(!value),
            (Unary::Neg, Value::Long(value)) => Value::Long(value.checked_neg()?),
            (Unary::IsEmpty, Value::Set(set)) => Value::Bool(set.len == 0),
            (Unary::Decimal | Unary::Datetime | Unary::Duration | Unary::Ip, Value::Text(text)) => {
                let text = self.scratch.view(self.program).text(text);
                match op {
                    Unary::Decimal => Value::Decimal(extensions::decimal(text)?),
                    Unary::Datetime => Value::Datetime(extensions::datetime(text)?),
                    Unary::Duration => Value::Duration(extensions::duration(text)?),
                    _ => Value::Ip(extensions::ip(text)?),
                }
            }
            (Unary::IsIpv4, Value::Ip(ip)) => Value::Bool(!ip.is_v6()),
            (Unary::IsIpv6, Value::Ip(ip)) => Value::Bool(ip.is_v6()),
            (Unary::IsLoopback, Value::Ip(ip)) => Value::Bool(Ip::is_loopback(ip)),
            (Unary::IsMulticast, Value::Ip(ip)) => Value::Bool(Ip::is_multicast(ip)),
            (Unary::ToDate, Value::Datetime(ms)) => Value::Datetime(extensions::to_date(ms)?),
            (Unary::ToTime, Value::Datetime(ms)) => Value::Duration(extensions::to_time(ms)),
            (Unary::ToMilliseconds, Value::Duration(ms)) => Value::Long(ms),
            (Unary::ToSeconds, Value::Duration(ms)) => Value::Long(whole(ms, 1_000)),
            (Unary::ToMinutes, Value::Duration(ms)) => Value::Long(whole(ms, 60_000)),
            (Unary::ToHours, Value::Duration(ms)) => Value::Long(whole(ms, 3_600_000)),
            (Unary::ToDays, Value::Duration(ms)) => Value::Long(whole(ms, 86_400_000)),
            (
                Unary::Not
                | Unary::Neg
                | Unary::IsEmpty
                | Unary::Decimal
                | Unary::Datetime
                | Unary::Duration
                | Unary::Ip
                | Unary::IsIpv4
                | Unary::IsIpv6
                | Unary::IsLoopback
                | Unary::IsMulticast
                | Unary::ToDate
                | Unary::ToTime
                | Unary::ToMilliseconds
                | Unary::ToSeconds
                | Unary::ToMinutes
                | Unary::ToHours
                | Unary::ToDays,
                _,
            ) => return None,
        })
    }

    fn binary(&self, op: Binary, left: Value, right: Value) -> Option<Value> {
        let view = self.scratch.view(self.program);
        Some(match op {
            Binary::Equal => Value::Bool(view.same(left, right)),
            Binary::NotEqual => Value::Bool(!view.same(left, right)),
            Binary::Less => Value::Bool(less(left, right)?),
            Binary::GreaterOrEqual => Value::Bool(!less(left, right)?),
            Binary::Greater => Value::Bool(less(right, left)?),
            Binary::LessOrEqual => Value::Bool(!less(right, left)?),
            Binary::Add => arithmetic(left, right, i64::checked_add)?,
            Binary::Subtract => arithmetic(left, right, i64::checked_sub)?,
            Binary::Multiply => arithmetic(left, right, i64::checked_mul)?,
            Binary::In => Value::Bool(self.is_in(left, right)?),
            Binary::Contains => match left {
                Value::Set(set) => Value::Bool(view.contains(set, right)),
                _ => return None,
            },
            Binary::ContainsAll | Binary::ContainsAny => {
                let (Value::Set(left), Value::Set(right)) = (left, right) else { return None };
                let mut wanted = view.items(right).iter();
                let found = |item: &Value| view.contains(left, *item);
                Value::Bool(if op == Binary::ContainsAll { wanted.all(found) } else { wanted.any(found) })
            }
            Binary::GetTag => self.tag(left, right)??,
            Binary::HasTag => Value::Bool(self.tag(left, right)?.is_some()),
            Binary::IsInRange => match (left, right) {
                (Value::Ip(left), Value::Ip(right)) => Value::Bool(left.is_in_range(right)),
                _ => return None,
            },
            Binary::Offset => match (left, right) {
                (Value::Datetime(from), Value::Duration(by)) => Value::Datetime(from.checked_add(by)?),
                _ => return None,
            },
            Binary::DurationSince => match (left, right) {
                (Value::Datetime(to), Value::Datetime(from)) => Value::Duration(to.checked_sub(from)?),
                _ => return None,
            },
            Binary::DecimalLess
            | Binary::DecimalLessOrEqual
            | Binary::DecimalGreater
            | Binary::DecimalGreaterOrEqual => {
                let (Value::Decimal(left), Value::Decimal(right)) = (left, right) else { return None };
                Value::Bool(match op {
                    Binary::DecimalLess => left < right,
                    Binary::DecimalLessOrEqual => left <= right,
                    Binary::DecimalGreater => left > right,
                    _ => left >= right,
                })
            }
        })
    }

    /// `in`: the entity itself, or an ancestor, of one or of any of a set; what else a set holds is an error even behind a match.
    fn is_in(&self, left: Value, right: Value) -> Option<bool> {
        let Value::Entity(entity) = left else { return None };
        let view = self.scratch.view(self.program);
        let one = [right];
        let above = match right {
            Value::Entity(_) => &one[..],
            Value::Set(set) => view.items(set),
            _ => return None,
        };
        if above.iter().any(|value| !matches!(value, Value::Entity(_))) {
            return None;
        }
        let registered = self.scratch.sight(self.program, entity).and_then(|sight| sight.registered);
        let ancestors = registered.map_or(&[][..], |registered| self.program.list(registered.ancestors));
        Some(above.iter().any(|value| {
            let among = |above: &u32| ancestors.binary_search(above).is_ok();
            view.same(*value, left) || matches!(value, Value::Entity(above) if among(above))
        }))
    }

    /// A tag by its name. Outer `None`: an error whether it is asked for or looked for.
    fn tag(&self, left: Value, right: Value) -> Option<Option<Value>> {
        let (Value::Entity(entity), Value::Text(name)) = (left, right) else { return None };
        let view = self.scratch.view(self.program);
        let registered = self.scratch.sight(self.program, entity).and_then(|sight| sight.registered);
        let name = self.program.name(view.text(name));
        Some(registered.zip(name).and_then(|(registered, name)| view.attribute(registered.tags, name)))
    }

    /// Whether a policy is satisfied; `None` if it errs.
    pub(super) fn satisfied(&mut self, root: u32) -> Option<bool> {
        match self.value(root) {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }
}

/// `<`: of integers, and of extension values that Cedar orders.
fn less(left: Value, right: Value) -> Option<bool> {
    match (left, right) {
        (Value::Long(left), Value::Long(right))
        | (Value::Datetime(left), Value::Datetime(right))
        | (Value::Duration(left), Value::Duration(right)) => Some(left < right),
        _ => None,
    }
}

fn arithmetic(left: Value, right: Value, apply: fn(i64, i64) -> Option<i64>) -> Option<Value> {
    match (left, right) {
        (Value::Long(left), Value::Long(right)) => apply(left, right).map(Value::Long),
        _ => None,
    }
}
