//! The airline's written rules once more, in plain Rust straight from the recorded line: no adapter, no Cedar.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use serde_json::Value;

/// The rules that a call breaks, by the names that the policies give them.
pub fn broken(call: &Value) -> BTreeSet<&'static str> {
    let args = &call["args"];
    let profile: Vec<&str> =
        call["user"]["payment_methods"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let mut rules = BTreeSet::new();
    let mut rule = |name, is_broken: bool| {
        if is_broken {
            rules.insert(name);
        }
    };
    match call["tool"].as_str().unwrap() {
        "get_user_details"
        | "get_reservation_details"
        | "list_all_airports"
        | "search_direct_flight"
        | "search_onestop_flight"
        | "calculate"
        | "think"
        | "transfer_to_human_agents" => {}
        "book_reservation" => {
            let paid: Vec<&str> =
                list(args, "payment_methods").iter().map(|entry| entry["payment_id"].as_str().unwrap()).collect();
            let kind = |kind: &str| paid.iter().filter(|id| id.rsplit_once('_').unwrap().0 == kind).count();
            rule("book-at-most-five-passengers", list(args, "passengers").len() > 5);
            rule("book-paid-from-profile", paid.iter().any(|id| !profile.contains(id)));
            rule("book-at-most-one-certificate", kind("certificate") > 1);
            rule("book-at-most-one-credit-card", kind("credit_card") > 1);
            rule("book-at-most-three-gift-cards", kind("gift_card") > 3);
        }
        "send_certificate" => {
            let membership = call["user"]["membership"].as_str().unwrap();
            rule("certificate-only-for-silver-or-gold", membership != "silver" && membership != "gold");
        }
        tool => {
            let reservation = &call["reservation"];
            rule("reservation-must-exist", reservation.is_null());
            rule("reservation-not-already-cancelled", reservation["status"] == "cancelled");
            let payment = args["payment_id"].as_str();
            let from_profile = payment.is_some_and(|id| profile.contains(&id));
            let known = !reservation.is_null();
            match tool {
                "cancel_reservation" => {
                    let flown = reservation["any_segment_flown"] == true;
                    rule("cancel-flown-segment", flown);
                    let ground = known
                        && (hours_since_booking(call) <= 24.0
                            || reservation["any_segment_cancelled"] == true
                            || reservation["cabin"] == "business"
                            || reservation["insurance"] == true);
                    rule("cancel-without-ground", known && !ground);
                }
                "update_reservation_flights" => {
                    let same = itinerary(&args["flights"]) == itinerary(&reservation["segments"]);
                    rule("change-flights-basic-economy", reservation["cabin"] == "basic_economy" && !same);
                    let kind = payment.and_then(|id| id.rsplit_once('_')).map(|(kind, _)| kind);
                    let accepted = kind == Some("gift_card") || kind == Some("credit_card");
                    rule("change-flights-paid-by-gift-or-credit-card", !accepted);
                    rule("change-flights-paid-from-profile", !from_profile);
                }
                "update_reservation_baggages" => {
                    let (asked, held) = (args["total_baggages"].as_i64(), reservation["total_baggages"].as_i64());
                    rule("bags-not-removed", known && asked < held);
                    rule("bags-paid-from-profile", !from_profile);
                }
                "update_reservation_passengers" => {
                    let held = reservation["passengers"].as_u64();
                    let asked = u64::try_from(list(args, "passengers").len()).ok();
                    rule("passengers-number-stays", known && asked != held);
                }
                tool => panic!("`{tool}` is a tool without a rule"),
            }
        }
    }
    rules
}

fn list<'a>(args: &'a Value, name: &str) -> &'a [Value] {
    args[name].as_array().unwrap()
}

fn itinerary(flights: &Value) -> Vec<(&str, &str)> {
    let flights = flights.as_array().map(Vec::as_slice).unwrap_or_default();
    flights.iter().map(|flight| (flight["flight_number"].as_str().unwrap(), flight["date"].as_str().unwrap())).collect()
}

fn hours_since_booking(call: &Value) -> f64 {
    let time = |value: &Value| value.as_str().unwrap().parse::<DateTime>().unwrap();
    let since = time(&call["now"]).duration_since(time(&call["reservation"]["created_at"]));
    since.as_secs_f64() / 3_600.0
}
