"""Stores of a stranger, each made evil in one way: what is done to a sound one."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from ramet.store.packing import pack, unpack

Change: TypeAlias = Callable[[sqlite3.Connection], object]
Event: TypeAlias = dict[str, Any]

MARKUP = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
TITLE = "\x1b]0;pwned\x07"
ESCAPES = f"{TITLE}\x1b[31mred\x1b[2J\r\nEVIL\x1b]52;c;cHduZWQ=\x07\x9b31m\u202e"
WAITS = "with recursive r(id) as (select 1 union all select id + 1 from r)"


def sql(*statements: str, **values: object) -> Change:
    """Return what runs statements."""

    def change(store: sqlite3.Connection) -> None:
        for statement in statements:
            store.execute(statement, values)

    return change


def events(store: sqlite3.Connection) -> Iterator[tuple[int, Event]]:
    for last, data in store.execute("select number, event from events").fetchall():
        held = unpack(data)
        for number, event in enumerate(held, last - len(held) + 1):
            yield number, json.loads(event)


def put(store: sqlite3.Connection, number: int, event: Event | bytes) -> None:
    """Put an event in the place of another, which may be one of several in a row."""
    query = "select number, event from events where number >= ? order by number limit 1"
    last, data = store.execute(query, (number,)).fetchone()
    held = unpack(data)
    held[number - last - 1] = event if isinstance(event, bytes) else json.dumps(event).encode()
    [(_, data)] = pack(held)
    store.execute("update events set event = ? where number = ?", (data, last))


def each(kind: str, change: Callable[[Event], object], *, first: bool = False) -> Change:
    """Return what changes all events of a kind, or the first."""

    def changed(store: sqlite3.Connection) -> None:
        for number, event in events(store):
            if event["event"] == kind:
                change(event)
                put(store, number, event)
                if first:
                    return

    return changed


def opens(**fields: Any) -> Change:
    """Return what has a run open with other fields."""
    return each("RunOpened", lambda event: event.update(fields))


def turn(**fields: Any) -> Change:
    """Return what has the first turn end with other fields."""
    return each("TurnEnded", lambda event: event.update(fields), first=True)


def space(change: Callable[[dict[str, Any]], object]) -> Change:
    return each("RunOpened", lambda event: change(event["space"]))


def births(change: Callable[[Event, int], object]) -> Change:
    def changed(event: Event) -> None:
        for nth, birth in enumerate(event["births"]):
            change(birth, nth)

    return each("RunOpened", changed)


def named(name: str) -> Change:
    """Return what gives the run another name, everywhere."""
    return both(sql("update runs set name = :name", name=name), opens(name=name))


def many_births(count: int) -> Change:
    """Return what has the run begin with so many members, all like the first."""
    return each("RunOpened", lambda it: it.update(births=it["births"][:1] * count))


def both(*changes: Change) -> Change:
    def changed(store: sqlite3.Connection) -> None:
        for change in changes:
            change(store)

    return changed


def deep(levels: int) -> Change:
    """Return what describes the strategy by nested lists."""

    def changed(store: sqlite3.Connection) -> None:
        _, event = next(events(store))
        nested = "[" * levels + "]" * levels
        put(store, 0, json.dumps(event).replace('"type": "PBT"', f'"type": {nested}').encode())

    return changed


def comes_from_itself(store: sqlite3.Connection) -> None:
    log = list(events(store))
    number, copy = next(it for it in log if it[1]["event"] == "Copied")
    after = (it for nth, it in log if nth > number and it["event"] == "TurnEnded")
    own = next(it for it in after if it["member"] == copy["member"])
    copy["weights"]["checkpoint"] = {key: own[key] for key in ("member", "turn", "step", "digest")}
    put(store, number, copy)


def all_values_are_markup(store: sqlite3.Connection) -> None:
    domain = {"type": "Choice", "options": [MARKUP, "$\\frac{"], "ordered": False}
    space(lambda it: it.update(names=[MARKUP], domains={MARKUP: domain}))(store)
    births(lambda birth, _: birth.update(hparams={MARKUP: MARKUP}))(store)
    for number, event in events(store):
        if event.get("hparams"):
            put(store, number, event | {"hparams": {MARKUP: "$\\frac{"}})


def opened_twice(store: sqlite3.Connection) -> None:
    _, opening = next(events(store))
    put(store, 5, opening)


def huge_step(event: Event) -> None:
    event |= {"step": 2**62, "points": [[2**62, 0.5]]}


def huge_score(event: Event) -> None:
    event["points"] = [[event["step"], 1.7e308 if event["member"] % 2 else -1.7e308]]


FAILED = {
    "event": "AttemptFailed",
    "v": 1,
    "member": 0,
    "turn": 0,
    "error": f"{TITLE}</pre><script>alert(1)</script>",
    "traceback": "</pre><script>alert(1)</script>\x00\x1b[31m\u202e",
}


def failed(store: sqlite3.Connection) -> None:
    log = list(events(store))
    number, explored = next(it for it in log if it[1]["event"] == "Explored")
    member = explored["member"]
    turns = [
        it for _, it in log[:number] if (it["event"], it.get("member")) == ("TurnEnded", member)
    ]
    put(store, number, FAILED | {"member": member, "turn": len(turns)})


def held(worker: str) -> Change:
    """Return what has all members held, and all events written, by a worker of a name."""

    def changed(store: sqlite3.Connection) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id")
        values = {"worker": worker, "boot": boot.read_text().strip() if boot.exists() else ""}
        store.execute(
            "update members set worker = :worker, heard_at = 0, expires_at = 1e18, boot = :boot",
            values,
        )
        store.execute("update events set worker = :worker", {"worker": worker})

    return changed


# What reading a log finds.
IN_THE_LOG: dict[str, Change] = {
    "digest that leads elsewhere": each(
        "TurnEnded", lambda it: it.update(digest="../../../canary/x")
    ),
    "stack that leads elsewhere": each(
        "TurnEnded", lambda it: it.update(stack="../../../canary/x", row=1)
    ),
    "stack without a digest": each("TurnEnded", lambda it: it.update(stack="0-0-x")),
    "row below 0 of a stack": each(
        "TurnEnded", lambda it: it.update(stack="0-0-" + "0" * 32, row=-1)
    ),
    "row of no stack": each("TurnEnded", lambda it: it.update(row=1)),
    "copied row of no stack": each("Copied", lambda it: it["weights"]["checkpoint"].update(row=1)),
    "name of another run": opens(name="other"),
    "seed that is text": opens(seed="x"),
    "negative seed": opens(seed=-1),
    "no births": opens(births=[]),
    "ten thousand births": many_births(10_000),
    "no steps": both(opens(steps=0), sql("update runs set steps = 0")),
    "negative steps": both(opens(steps=-5), sql("update runs set steps = -5")),
    "turns without steps": opens(ready=0),
    "domain of another kind": space(
        lambda it: it.update(domains={"lr": {"type": "__import__", "low": 0, "high": 1}})
    ),
    "names that are a number": opens(space={"names": 5}),
    "start out of bounds": space(lambda it: it["domains"]["lr"].update(start=5)),
    "domain without a bound": space(lambda it: it["domains"]["lr"].pop("low")),
    "no names": opens(space={}),
    "domains that are a list": space(lambda it: it.update(domains=[1, 2])),
    "predicates that are a number": space(lambda it: it.update(where=5)),
    "births with text for numbers": births(lambda it, _: it.update(hparams={"lr": "x"})),
    "births without values": births(lambda it, _: it.update(hparams={})),
    "mode of another kind": opens(mode="evil"),
    "member that is not there": turn(member=10**9),
    "negative member": turn(member=-1),
    "turn far ahead": turn(turn=10**17),
    "steps of 2**62": each("TurnEnded", huge_step),
    "scores of other steps": turn(points=[[10**6, 0.5]]),
    "scores in no order": turn(points=[[3, 0.5], [2, 0.5]]),
    "checkpoint that comes from itself": comes_from_itself,
    "copy of a member that is not there": each("Copied", lambda it: it.update(source=99)),
    "copied values of another space": each("Copied", lambda it: it.update(hparams={"a": 1})),
    "values out of bounds": each("Explored", lambda it: it.update(hparams={"lr": -1.0})),
    "time of 1e300": sql("update events set at = 1e300"),
    "time that is text": sql("update events set at = 'x'"),
    "negative time": sql("update events set at = -1e17"),
    "took 1e300 s": sql("update events set took_s = 1e300"),
    "took some text": sql("update events set took_s = 'x'"),
    "took a negative time": sql("update events set took_s = -1.0"),
    "gap": sql("delete from events where number = 7"),
    "opened twice": opened_twice,
    "another schema": opens(v=99),
    "rows of members that are not there": sql("delete from members where member > 2"),
    "rows of members that are too many": sql(
        "insert into members (run, member) values (1, 5)",
    ),
}

# What is strange, and is shown as it is.
SHOWN: dict[str, Change] = {
    "name that leads elsewhere": named("../../canary"),
    "name full of escapes": named(ESCAPES),
    "name of 5 MB": named("x" * 5_000_000),
    "name with a NUL": named("a\0b"),
    "worker full of escapes": held(f"{TITLE}<script>alert(1)</script>"),
    "values that are markup": all_values_are_markup,
    "traceback full of escapes": failed,
    "scores of 1.7e308": each("TurnEnded", huge_score),
    "turns without a score": each("TurnEnded", lambda it: it.update(points=[])),
    "strategy that is code": opens(strategy={"type": "os.system", "x": {"code": "os:system"}}),
    "strategy without settings": opens(strategy={"type": "FIRE"}),
    "strategy that evaluates by text": opens(strategy={"type": "X", "evaluate_every": "x"}),
    "replay of itself": opens(strategy={"type": "Replay", "of": "a"}),
    "huge groups": births(lambda it, nth: it.update(group=nth * 10**15)),
    "settings nested 90 deep": deep(90),
    "checkpoint column that leads elsewhere": sql(
        "update members set checkpoint = '../../../../canary/x'"
    ),
}
