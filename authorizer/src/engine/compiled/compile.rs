//! From Cedar's public syntax tree to a program: scopes, conditions, registered entities, schema.
//!
//! The tree is `Policy::to_pst`, stable since `cedar-policy` 4.11. What this file does not know (a new kind of expression, an unknown, a slot that is not filled) compiles to
//! nothing, and plain Cedar decides that policy. Guarantees that what compiles means what Cedar evaluates: operands in Cedar's
//! order, `a && b && c` stopping where Cedar stops. Recurses as deep as a policy nests, which publishing has bounded.

use std::sync::Arc;

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, EntityOrSlot, EntityType, EntityUID, Expr, Literal, PatternElem,
    Policy as Tree, PrincipalConstraint, ResourceConstraint, Template, UnaryOp, Var,
};
use cedar_policy::{Entities, PolicySet};

use super::super::types::Types;
use super::super::unseen::facts_are_seen;
use super::entities::register;
use super::extensions;
use super::index::{ANY_ACTION, Demand, Index};
use super::operators::{binary, unary};
use super::program::{Binary, Builder, Compiled, NONE, Node, Program, Root, Unary};
use super::types::Shapes;
use super::value::{Pair, Value};

/// Compiles what was published. `actions` are the schema's, with their groups. `None` if an entity cannot be read.
pub(in super::super) fn compile(
    policies: &PolicySet,
    types: Option<&Types>,
    entities: Entities,
    actions: Entities,
) -> Option<Program> {
    let mut builder = Builder::new();
    if let Some(types) = types {
        let shapes = Shapes::of(types, &mut builder);
        builder.program().shapes = Some(shapes);
    }
    register(&mut builder, entities, actions)?;
    let mut sorted: Vec<_> = policies.policies().collect();
    sorted.sort_unstable_by(|one, other| AsRef::<str>::as_ref(one.id()).cmp(other.id().as_ref()));
    let mut filed = Vec::with_capacity(sorted.len());
    for (number, policy) in (0_u32..).zip(sorted) {
        let forbids = policy.effect() != cedar_policy::Effect::Permit;
        let root = policy.to_pst().ok().and_then(|tree| {
            let template = match tree {
                Tree::Static(policy) => policy.body().clone(),
                Tree::Linked(policy) => policy.into_static_policy().ok()?.body().clone(),
            };
            let mut compiler = Compiler { builder: &mut builder };
            let root = compiler.policy(&template)?;
            // What is not wholly compiled is not filed: plain Cedar has an index of its own.
            compiler.file(&template, number, &mut filed)?;
            Some(root)
        });
        let program = builder.program();
        program.ids.push(AsRef::<str>::as_ref(policy.id()).into());
        program.policies.push(Compiled { forbids, root: root.unwrap_or(NONE) });
    }
    builder.program().index = Index::new(filed);
    builder.program().facts_are_seen = facts_are_seen(policies);
    Some(builder.finish())
}

struct Compiler<'a> {
    builder: &'a mut Builder,
}

impl Compiler<'_> {
    /// `principal && action && resource && conditions`, as Cedar puts them together.
    fn policy(&mut self, policy: &Template) -> Option<u32> {
        let mut parts = Vec::new();
        match &policy.principal {
            PrincipalConstraint::Any => {}
            PrincipalConstraint::Eq(uid) => parts.push(self.scope(Node::Principal, Binary::Equal, uid)?),
            PrincipalConstraint::In(uid) => parts.push(self.scope(Node::Principal, Binary::In, uid)?),
            PrincipalConstraint::Is(kind) => parts.push(self.is(Node::Principal, kind)),
            PrincipalConstraint::IsIn(kind, uid) => {
                parts.push(self.is(Node::Principal, kind));
                parts.push(self.scope(Node::Principal, Binary::In, uid)?);
            }
        }
        match &policy.action {
            ActionConstraint::Any => {}
            ActionConstraint::Eq(uid) => {
                let uid = self.uid(uid);
                parts.push(self.applied(Node::Action, Binary::Equal, uid));
            }
            ActionConstraint::In(uids) => {
                let uids = uids.iter().map(|uid| self.uid(uid)).collect();
                let uids = self.builder.set(uids);
                parts.push(self.applied(Node::Action, Binary::In, uids));
            }
        }
        match &policy.resource {
            ResourceConstraint::Any => {}
            ResourceConstraint::Eq(uid) => parts.push(self.scope(Node::Resource, Binary::Equal, uid)?),
            ResourceConstraint::In(uid) => parts.push(self.scope(Node::Resource, Binary::In, uid)?),
            ResourceConstraint::Is(kind) => parts.push(self.is(Node::Resource, kind)),
            ResourceConstraint::IsIn(kind, uid) => {
                parts.push(self.is(Node::Resource, kind));
                parts.push(self.scope(Node::Resource, Binary::In, uid)?);
            }
        }
        for clause in policy.clauses() {
            match clause {
                Clause::When(condition) => parts.push(self.expression(condition)?),
                Clause::Unless(condition) => {
                    let of = self.expression(condition)?;
                    parts.push(self.builder.node(Node::Unary { op: Unary::Not, of }));
                }
            }
        }
        let parts = self.builder.list(&parts);
        Some(self.builder.node(Node::And(parts)))
    }

    /// Files a policy under each of its actions, by the narrower of what it demands of principal and resource.
    fn file(&mut self, policy: &Template, number: u32, filed: &mut Vec<(u32, Demand, u32)>) -> Option<()> {
        let principal = match &policy.principal {
            PrincipalConstraint::Any => Demand::Nothing,
            PrincipalConstraint::Is(kind) => Demand::PrincipalType(self.kind(kind)),
            PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
                Demand::Principal(self.entity(uid)?)
            }
        };
        let resource = match &policy.resource {
            ResourceConstraint::Any => Demand::Nothing,
            ResourceConstraint::Is(kind) => Demand::ResourceType(self.kind(kind)),
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
                Demand::Resource(self.entity(uid)?)
            }
        };
        let demand = if resource.narrow() > principal.narrow() { resource } else { principal };
        match &policy.action {
            ActionConstraint::Any => filed.push((ANY_ACTION, demand, number)),
            ActionConstraint::Eq(uid) => filed.push((self.number(uid), demand, number)),
            ActionConstraint::In(uids) => filed.extend(uids.iter().map(|uid| (self.number(uid), demand, number))),
        }
        Some(())
    }

    fn scope(&mut self, of: Node, op: Binary, uid: &EntityOrSlot) -> Option<u32> {
        let uid = Value::Entity(self.entity(uid)?);
        Some(self.applied(of, op, uid))
    }

    fn applied(&mut self, left: Node, op: Binary, right: Value) -> u32 {
        let left = self.builder.node(left);
        let right = self.constant(right);
        self.builder.node(Node::Binary { op, left, right })
    }

    fn is(&mut self, of: Node, kind: &EntityType) -> u32 {
        let (of, kind) = (self.builder.node(of), self.kind(kind));
        self.builder.node(Node::Is { of, kind })
    }

    fn kind(&mut self, kind: &EntityType) -> u32 {
        self.builder.kind(&kind.to_string())
    }

    fn entity(&mut self, uid: &EntityOrSlot) -> Option<u32> {
        match uid {
            EntityOrSlot::Entity(uid) => Some(self.number(uid)),
            EntityOrSlot::Slot(_) => None,
        }
    }

    fn number(&mut self, uid: &EntityUID) -> u32 {
        self.builder.entity(&uid.ty.to_string(), uid.eid.as_str())
    }

    fn uid(&mut self, uid: &EntityUID) -> Value {
        Value::Entity(self.number(uid))
    }

    fn constant(&mut self, value: Value) -> u32 {
        let number = self.builder.constant(value);
        self.builder.node(Node::Constant(number))
    }

    /// The value of a node that does not depend on the request.
    fn folded(&mut self, node: u32) -> Option<Value> {
        let program = self.builder.program();
        match program.nodes.get(node as usize)? {
            Node::Constant(number) => Some(program.constant(*number)).filter(|value| *value != Value::Absent),
            _ => None,
        }
    }

    fn expressions(&mut self, expressions: &[Arc<Expr>]) -> Option<Vec<u32>> {
        expressions.iter().map(|expression| self.expression(expression)).collect()
    }

    fn expression(&mut self, expression: &Expr) -> Option<u32> {
        Some(match expression {
            Expr::Literal(literal) => {
                let value = match literal {
                    Literal::Bool(value) => Value::Bool(*value),
                    Literal::Long(value) => Value::Long(*value),
                    Literal::String(text) => self.builder.text(text),
                    Literal::EntityUID(uid) => self.uid(uid),
                    _ => return None,
                };
                self.constant(value)
            }
            Expr::Var(Var::Principal) => self.builder.node(Node::Principal),
            Expr::Var(Var::Action) => self.builder.node(Node::Action),
            Expr::Var(Var::Resource) => self.builder.node(Node::Resource),
            Expr::Var(Var::Context) => self.builder.node(Node::Context),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr)?,
            Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => self.chain(*op, left, right)?,
            Expr::BinaryOp { op, left, right } => {
                let op = binary(*op)?;
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                self.builder.node(Node::Binary { op, left, right })
            }
            Expr::GetAttr { expr, attr } => {
                let name = self.builder.name(attr);
                match root(expr) {
                    Some(root) => {
                        let slot = self.builder.slot(root, name);
                        self.builder.node(Node::Slot(slot))
                    }
                    None => {
                        let of = self.expression(expr)?;
                        self.builder.node(Node::Attribute { of, name })
                    }
                }
            }
            Expr::HasAttr { expr, attrs } if attrs.tail.is_empty() => {
                let name = self.builder.name(&attrs.head);
                match root(expr) {
                    Some(root) => {
                        let slot = self.builder.slot(root, name);
                        self.builder.node(Node::HasSlot(slot))
                    }
                    None => {
                        let of = self.expression(expr)?;
                        self.builder.node(Node::Has { of, name })
                    }
                }
            }
            Expr::HasAttr { expr, attrs } => {
                let of = self.expression(expr)?;
                let names: Vec<u32> = attrs.iter().map(|name| self.builder.name(name)).collect();
                let names = self.builder.list(&names);
                self.builder.node(Node::HasPath { of, names })
            }
            Expr::Like { expr, pattern } => {
                let of = self.expression(expr)?;
                let between = self.between(pattern);
                let between = self.builder.list(&between);
                self.builder.node(Node::Like { of, between })
            }
            Expr::Is { expr, entity_type, in_expr } => {
                let (of, kind) = (self.expression(expr)?, self.kind(entity_type));
                let is = self.builder.node(Node::Is { of, kind });
                match in_expr {
                    None => is,
                    Some(above) => {
                        let right = self.expression(above)?;
                        let within = self.builder.node(Node::Binary { op: Binary::In, left: of, right });
                        let both = self.builder.list(&[is, within]);
                        self.builder.node(Node::And(both))
                    }
                }
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let (test, then) = (self.expression(cond)?, self.expression(then_expr)?);
                let other = self.expression(else_expr)?;
                self.builder.node(Node::If { test, then, other })
            }
            Expr::Set(elements) => {
                let elements = self.expressions(elements)?;
                let folded: Option<Vec<Value>> = elements.iter().map(|node| self.folded(*node)).collect();
                match folded {
                    Some(items) => {
                        let set = self.builder.set(items);
                        self.constant(set)
                    }
                    None => {
                        let elements = self.builder.list(&elements);
                        self.builder.node(Node::Set(elements))
                    }
                }
            }
            Expr::Record(attributes) => {
                let mut nodes = Vec::with_capacity(attributes.len());
                for (name, value) in attributes {
                    let name = self.builder.name(name);
                    nodes.push((name, self.expression(value)?));
                }
                let pair = |(name, node): &(u32, u32)| Some(Pair { name: *name, value: self.folded(*node)? });
                let folded: Option<Vec<Pair>> = nodes.iter().map(pair).collect();
                match folded {
                    Some(pairs) => {
                        let record = Value::Record(self.builder.record(pairs));
                        self.constant(record)
                    }
                    None => {
                        let flat: Vec<u32> = nodes.into_iter().flat_map(|(name, node)| [name, node]).collect();
                        let flat = self.builder.list(&flat);
                        self.builder.node(Node::Record(flat))
                    }
                }
            }
            // A slot, an unknown, or a kind of expression that came later.
            _ => return None,
        })
    }

    /// `a && b && c` as one list, whichever way it was bracketed: what is evaluated, and when it stops, is the same.
    fn chain(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Option<u32> {
        let mut operands = Vec::new();
        let mut open = vec![right, left];
        while let Some(next) = open.pop() {
            match next {
                Expr::BinaryOp { op: inner, left, right } if *inner == op => open.extend([&**right, &**left]),
                operand => operands.push(self.expression(operand)?),
            }
        }
        let operands = self.builder.list(&operands);
        Some(self.builder.node(if op == BinaryOp::And { Node::And(operands) } else { Node::Or(operands) }))
    }

    fn unary(&mut self, op: UnaryOp, operand: &Expr) -> Option<u32> {
        let op = unary(op)?;
        let of = self.expression(operand)?;
        // A constructor's text is read once, unless it is wrong: then it is an error wherever it is reached.
        if let Some(Value::Text(text)) = self.folded(of) {
            let text = self.builder.program().view().text(text);
            let value = match op {
                Unary::Decimal => extensions::decimal(text).map(Value::Decimal),
                Unary::Datetime => extensions::datetime(text).map(Value::Datetime),
                Unary::Duration => extensions::duration(text).map(Value::Duration),
                Unary::Ip => extensions::ip(text).map(Value::Ip),
                _ => None,
            };
            if let Some(value) = value {
                return Some(self.constant(value));
            }
        }
        Some(self.builder.node(Node::Unary { op, of }))
    }

    /// The texts between wildcards, as constants; none for a pattern that is empty.
    fn between(&mut self, pattern: &[PatternElem]) -> Vec<u32> {
        let mut texts = Vec::new();
        let mut text = String::new();
        for element in pattern {
            match element {
                PatternElem::Char(letter) => text.push(*letter),
                PatternElem::Wildcard => texts.push(std::mem::take(&mut text)),
            }
        }
        texts.push(text);
        texts
            .into_iter()
            .map(|text| {
                let text = self.builder.text(&text);
                self.builder.constant(text)
            })
            .collect()
    }
}

/// Whose attributes these are, if they have slots.
fn root(expression: &Expr) -> Option<Root> {
    match expression {
        Expr::Var(Var::Principal) => Some(Root::Principal),
        Expr::Var(Var::Resource) => Some(Root::Resource),
        Expr::Var(Var::Context) => Some(Root::Context),
        _ => None,
    }
}
