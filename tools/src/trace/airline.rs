//! The airline of τ-bench: one recorded tool call as one native request, for the policies in `testdata/policies/airline/`.
//!
//! - **Subject** is the session, `Session::"airline-0-0"`: it is the agent in one conversation that acts, not the customer, and what it does
//!   in one conversation must not be mistaken for another. Its properties are the facts about the customer that it serves (`customer`,
//!   `membership`, `payment_methods`). A session is not a `parent`: a parent is a permit, and no call was allowed by an earlier one.
//! - **Action** is the tool, its properties the tool's arguments exactly as the agent sent them, so that the permit binds them.
//! - **Resource** is the reservation that the arguments name, else the customer that they name, else the airline. A reservation that the
//!   airline does not know comes without `booking`.
//! - **Context** holds `now` (the recorded time, in UTC) and what Cedar cannot count or index in a list: how many passengers, how many
//!   payment methods of each kind (every entry counts, also a card that is named twice), the ids of the payment methods, and the flights with
//!   their place in the itinerary, so that "other flights" is a comparison which the policy makes.
//!
//! No rule is judged here: dates go over as dates, and facts that are not in the line go over as null, which is absent, so that the schema denies the call.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

/// One recorded call, with the facts that the airline's database held at that moment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The conversation.
    pub session: String,
    /// The call's place in it, from 0.
    pub step: u64,
    /// The tool that was called.
    pub tool: String,
    now: String,
    customer: String,
    args: Map<String, Value>,
    user: User,
    reservation: Option<Reservation>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    id: String,
    membership: String,
    payment_methods: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reservation {
    id: String,
    owner: String,
    cabin: String,
    insurance: bool,
    created_at: String,
    status: String,
    passengers: u64,
    total_baggages: u64,
    segments: Vec<Flight>,
    any_segment_cancelled: bool,
    any_segment_flown: bool,
    #[serde(rename = "origin")]
    _origin: String,
    #[serde(rename = "destination")]
    _destination: String,
    #[serde(rename = "flight_type")]
    _flight_type: String,
}

/// A flight in a reservation (with its status) or in a call (with whatever else the agent said).
#[derive(Debug, Clone, Deserialize)]
struct Flight {
    flight_number: String,
    date: String,
}

/// Why a line is not a recorded call.
#[derive(Debug, Error)]
pub enum CallError {
    /// Not JSON, or not of this format.
    #[error("not a recorded call: {0}")]
    Format(#[from] serde_json::Error),
    /// The facts are about another customer or reservation than the call.
    #[error("the facts are about {0} `{1}`, the call is about `{2}`")]
    ForeignFacts(&'static str, String, String),
}

impl Call {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Self, CallError> {
        let call: Self = serde_json::from_str(line)?;
        if call.user.id != call.customer {
            return Err(CallError::ForeignFacts("customer", call.user.id, call.customer));
        }
        if let (Some(reservation), Some(named)) = (&call.reservation, call.text("reservation_id"))
            && reservation.id != named
        {
            return Err(CallError::ForeignFacts("reservation", reservation.id.clone(), named.to_owned()));
        }
        Ok(call)
    }

    /// The native request.
    pub fn request(&self) -> Value {
        let action = match self.args.is_empty() {
            true => json!({ "name": self.tool }),
            false => json!({ "name": self.tool, "properties": self.args }),
        };
        json!({
            "subject": {
                "type": "Session",
                "id": self.session,
                "properties": {
                    "customer": self.customer,
                    "membership": self.user.membership,
                    "payment_methods": self.user.payment_methods,
                },
            },
            "action": action,
            "resource": self.resource(),
            "context": self.context(),
        })
    }

    fn resource(&self) -> Value {
        match (self.text("reservation_id"), self.text("user_id")) {
            (Some(id), _) => match &self.reservation {
                Some(reservation) => {
                    json!({ "type": "Reservation", "id": id, "properties": { "booking": reservation.booking() } })
                }
                None => json!({ "type": "Reservation", "id": id }),
            },
            (None, Some(id)) => json!({ "type": "Customer", "id": id }),
            (None, None) => json!({ "type": "Airline", "id": "airline" }),
        }
    }

    fn context(&self) -> Value {
        let now = utc(&self.now);
        let passengers = self.args.get("passengers").and_then(Value::as_array).map(Vec::len);
        match self.tool.as_str() {
            "book_reservation" => {
                let ids = self.payment_ids();
                let of = |kind: &str| ids.as_ref().map(|ids| ids.iter().filter(|id| id.starts_with(kind)).count());
                json!({
                    "now": now,
                    "passengers": passengers,
                    "certificates": of("certificate_"),
                    "credit_cards": of("credit_card_"),
                    "gift_cards": of("gift_card_"),
                    "payment_ids": ids,
                })
            }
            "update_reservation_passengers" => json!({ "now": now, "passengers": passengers }),
            "update_reservation_flights" => {
                let flights = self.args.get("flights").and_then(|flights| Vec::<Flight>::deserialize(flights).ok());
                json!({ "now": now, "legs": flights.map(|flights| legs(&flights)) })
            }
            _ => json!({ "now": now }),
        }
    }

    /// The ids of the payment methods of a booking, one for each entry; none unless every entry has one.
    fn payment_ids(&self) -> Option<Vec<&str>> {
        let entries = self.args.get("payment_methods")?.as_array()?;
        entries.iter().map(|entry| entry.get("payment_id")?.as_str()).collect()
    }

    fn text(&self, argument: &str) -> Option<&str> {
        self.args.get(argument)?.as_str()
    }
}

impl Reservation {
    fn booking(&self) -> Value {
        json!({
            "owner": self.owner,
            "cabin": self.cabin,
            "insurance": self.insurance,
            "created_at": utc(&self.created_at),
            "status": self.status,
            "passengers": self.passengers,
            "total_baggages": self.total_baggages,
            "legs": legs(&self.segments),
            "any_segment_cancelled": self.any_segment_cancelled,
            "any_segment_flown": self.any_segment_flown,
        })
    }
}

/// Flights with their place in the itinerary.
fn legs(flights: &[Flight]) -> Vec<Value> {
    let leg = |(place, flight): (usize, &Flight)| json!({ "leg": place + 1, "flight_number": flight.flight_number, "date": flight.date });
    flights.iter().enumerate().map(leg).collect()
}

/// A recorded time has no zone; it is UTC.
fn utc(time: &str) -> String {
    format!("{time}Z")
}

#[cfg(test)]
mod tests;
