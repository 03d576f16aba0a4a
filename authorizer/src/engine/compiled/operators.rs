//! Cedar's operators and methods by our names; what came to Cedar later has none, and is left to plain Cedar.

use cedar_policy::pst::{BinaryOp, UnaryOp};

use super::program::{Binary, Unary};

/// An operator or method of one operand.
pub(super) fn unary(op: UnaryOp) -> Option<Unary> {
    Some(match op {
        UnaryOp::Not => Unary::Not,
        UnaryOp::Neg => Unary::Neg,
        UnaryOp::IsEmpty => Unary::IsEmpty,
        UnaryOp::Datetime => Unary::Datetime,
        UnaryOp::Decimal => Unary::Decimal,
        UnaryOp::Duration => Unary::Duration,
        UnaryOp::Ip => Unary::Ip,
        UnaryOp::IsIPv4 => Unary::IsIpv4,
        UnaryOp::IsIPV6 => Unary::IsIpv6,
        UnaryOp::IsLoopback => Unary::IsLoopback,
        UnaryOp::IsMulticast => Unary::IsMulticast,
        UnaryOp::ToDate => Unary::ToDate,
        UnaryOp::ToTime => Unary::ToTime,
        UnaryOp::ToMilliseconds => Unary::ToMilliseconds,
        UnaryOp::ToSeconds => Unary::ToSeconds,
        UnaryOp::ToMinutes => Unary::ToMinutes,
        UnaryOp::ToHours => Unary::ToHours,
        UnaryOp::ToDays => Unary::ToDays,
        _ => return None,
    })
}

/// One of two; `&&` and `||` are chains and have none.
pub(super) fn binary(op: BinaryOp) -> Option<Binary> {
    Some(match op {
        BinaryOp::Eq => Binary::Equal,
        BinaryOp::NotEq => Binary::NotEqual,
        BinaryOp::Less => Binary::Less,
        BinaryOp::LessEq => Binary::LessOrEqual,
        BinaryOp::Greater => Binary::Greater,
        BinaryOp::GreaterEq => Binary::GreaterOrEqual,
        BinaryOp::Add => Binary::Add,
        BinaryOp::Sub => Binary::Subtract,
        BinaryOp::Mul => Binary::Multiply,
        BinaryOp::In => Binary::In,
        BinaryOp::Contains => Binary::Contains,
        BinaryOp::ContainsAll => Binary::ContainsAll,
        BinaryOp::ContainsAny => Binary::ContainsAny,
        BinaryOp::GetTag => Binary::GetTag,
        BinaryOp::HasTag => Binary::HasTag,
        BinaryOp::IsInRange => Binary::IsInRange,
        BinaryOp::Offset => Binary::Offset,
        BinaryOp::DurationSince => Binary::DurationSince,
        BinaryOp::DecimalLessThan => Binary::DecimalLess,
        BinaryOp::DecimalLessEq => Binary::DecimalLessOrEqual,
        BinaryOp::DecimalGreater => Binary::DecimalGreater,
        BinaryOp::DecimalGreaterEq => Binary::DecimalGreaterOrEqual,
        // `&&` and `||` are chains; what came later is plain Cedar's.
        _ => return None,
    })
}
