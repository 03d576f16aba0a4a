#!/usr/bin/env python3
"""Writes airline-sample.ndjson beside itself: invented traffic of an airline's agent, in the line format of the recorded τ-bench traffic.

Every rule of testdata/policies/airline is broken by at least one call, and each tool is allowed at least once. All names, ids and flights
are invented; nothing is taken from a benchmark.
"""
import json
import pathlib

NOW = "2026-03-10T09:00:00"

USERS = {
    "ada_quill_1001": ("gold", ["credit_card_5001", "gift_card_6001", "gift_card_6002", "certificate_7001", "certificate_7002"]),
    "ben_marsh_1002": ("regular", ["credit_card_5002", "credit_card_5003", "gift_card_6003"]),
    "cleo_wren_1003": ("silver", ["credit_card_5004", "gift_card_6004", "gift_card_6005", "gift_card_6006", "gift_card_6007"]),
}


def flight(number, date, status="available"):
    return {"flight_number": number, "date": date, "status": status}


def reservation(id, owner, cabin, created_at, segments, insurance=False, status="active", passengers=1, bags=1):
    return {
        "id": id, "owner": owner, "cabin": cabin, "insurance": insurance, "created_at": created_at, "status": status,
        "passengers": passengers, "total_baggages": bags, "segments": segments,
        "origin": "OSL", "destination": "LIS", "flight_type": "one_way",
        "any_segment_cancelled": any(s["status"] == "cancelled" for s in segments),
        "any_segment_flown": any(s["status"] in ("landed", "flying") for s in segments),
    }


AHEAD = [flight("ILK101", "2026-03-20"), flight("ILK202", "2026-03-20")]
RESERVATIONS = {r["id"]: r for r in [
    reservation("AAA111", "ada_quill_1001", "economy", "2026-03-09T10:30:00", AHEAD, passengers=2),
    reservation("AAA222", "ada_quill_1001", "basic_economy", "2026-02-01T08:00:00", AHEAD),
    reservation("BBB111", "ben_marsh_1002", "economy", "2026-03-09T08:59:59", AHEAD, bags=3),
    reservation("BBB222", "ben_marsh_1002", "business", "2026-02-20T12:00:00", [flight("ILK303", "2026-03-08", "landed")] + AHEAD),
    reservation("BBB333", "ben_marsh_1002", "economy", "2026-02-20T12:00:00", AHEAD, status="cancelled", insurance=True),
    reservation("CCC111", "cleo_wren_1003", "economy", "2026-02-20T12:00:00", [flight("ILK404", "2026-03-12", "cancelled")]),
    reservation("CCC222", "cleo_wren_1003", "economy", "2026-02-25T12:00:00", AHEAD, insurance=True),
]}


def passengers(count):
    return [{"first_name": f"P{i}", "last_name": "Invented", "dob": f"199{i}-01-01"} for i in range(count)]


def named(*flights):
    return [{"flight_number": number, "date": date} for number, date in flights]


SAME = named(("ILK101", "2026-03-20"), ("ILK202", "2026-03-20"))
OTHER = named(("ILK505", "2026-03-21"))


def book(user, people, *payments):
    return "book_reservation", {
        "user_id": user, "origin": "OSL", "destination": "LIS", "flight_type": "one_way", "cabin": "economy", "flights": SAME,
        "passengers": passengers(people), "payment_methods": [{"payment_id": p, "amount": 120} for p in payments],
        "total_baggages": 0, "nonfree_baggages": 0, "insurance": "no",
    }


def cancel(id):
    return "cancel_reservation", {"reservation_id": id}


def flights(id, cabin, wanted, payment):
    return "update_reservation_flights", {"reservation_id": id, "cabin": cabin, "flights": wanted, "payment_id": payment}


def bags(id, total, payment):
    return "update_reservation_baggages", {
        "reservation_id": id, "total_baggages": total, "nonfree_baggages": 0, "payment_id": payment}


def people(id, count):
    return "update_reservation_passengers", {"reservation_id": id, "passengers": passengers(count)}


def route():
    return {"origin": "OSL", "destination": "LIS", "date": "2026-03-20"}


SESSIONS = {
    # A gold member books, changes and is compensated.
    ("demo-1", "ada_quill_1001"): [
        ("get_user_details", {"user_id": "ada_quill_1001"}),
        ("search_direct_flight", route()),
        ("search_onestop_flight", route()),
        ("calculate", {"expression": "2 * 120"}),
        book("ada_quill_1001", 2, "certificate_7001", "credit_card_5001"),
        book("ada_quill_1001", 1, "certificate_7001", "certificate_7002"),           # two certificates
        book("ada_quill_1001", 6, "credit_card_5001"),                               # six passengers
        flights("AAA111", "economy", OTHER, "gift_card_6001"),
        flights("AAA111", "economy", OTHER, "certificate_7001"),                     # paid by certificate
        flights("AAA222", "basic_economy", OTHER, "credit_card_5001"),               # other flights in basic economy
        flights("AAA222", "economy", SAME, "credit_card_5001"),                      # only the cabin: allowed
        people("AAA111", 2),
        people("AAA111", 3),                                                         # one passenger more
        cancel("AAA111"),                                                            # 22.5 hours after booking
        cancel("AAA222"),                                                            # no ground
        ("send_certificate", {"user_id": "ada_quill_1001", "amount": 100}),
    ],
    # A regular member asks for what is not to be had.
    ("demo-2", "ben_marsh_1002"): [
        ("get_reservation_details", {"reservation_id": "BBB111"}),
        ("think", {"thought": "The customer wants both cards charged."}),
        book("ben_marsh_1002", 1, "credit_card_5002", "credit_card_5003"),           # two credit cards
        book("ben_marsh_1002", 1, "credit_card_9999"),                               # not his card
        cancel("BBB111"),                                                            # one second past 24 hours
        cancel("BBB222"),                                                            # flown, though business class
        cancel("BBB333"),                                                            # cancelled already
        cancel("ZZZ999"),                                                            # unknown
        flights("BBB111", "economy", OTHER, "gift_card_9999"),                       # not his gift card
        bags("BBB111", 4, "credit_card_5002"),
        bags("BBB111", 2, "credit_card_5002"),                                       # a bag less
        bags("BBB111", 4, "credit_card_9999"),                                       # not his card
        ("send_certificate", {"user_id": "ben_marsh_1002", "amount": 50}),           # a regular member
        ("transfer_to_human_agents", {"summary": "Asks for compensation that he has no right to."}),
    ],
    # A silver member cancels with good reason.
    ("demo-3", "cleo_wren_1003"): [
        ("list_all_airports", {}),
        book("cleo_wren_1003", 5, "gift_card_6004", "gift_card_6005", "gift_card_6006"),
        book("cleo_wren_1003", 1, "gift_card_6004", "gift_card_6005", "gift_card_6006", "gift_card_6007"),  # four gift cards
        cancel("CCC111"),                                                            # the airline cancelled a segment
        cancel("CCC222"),                                                            # insured
    ],
}


def lines():
    for (session, customer), calls in SESSIONS.items():
        membership, methods = USERS[customer]
        for step, (tool, args) in enumerate(calls):
            yield json.dumps({
                "session": session, "step": step, "now": NOW, "customer": customer, "tool": tool, "args": args,
                "user": {"id": customer, "membership": membership, "payment_methods": methods},
                "reservation": RESERVATIONS.get(args.get("reservation_id")),
            }, sort_keys=True)


if __name__ == "__main__":
    pathlib.Path(__file__).with_suffix(".ndjson").write_text("".join(line + "\n" for line in lines()))
