"""What the entries of cases.yaml are made of. `python3 tests/policy/policy.py` prints them as the table in docs/operations.md."""
import pathlib
import re

import yaml

HERE = pathlib.Path(__file__).parent
MINUTE = 1700000040000


def load():
    return yaml.safe_load((HERE / "cases.yaml").read_text())


def points(text, minute):
    """Of one delivery: WORD*SERIES@MINUTE=VALUE ..., as [(id, time in ms, value)]; the minute is the delivery's number by default."""
    out = []
    for word, series, at, value in re.findall(r"(\w+)\*(\d+)(?:@(\d+))?(?:=(\d+))?", text):
        end = MINUTE + int(at or minute) * 60000
        out += [(f"{word}-{i}", end, float(value or i + 1)) for i in range(int(series))]
    return out


def table(cases):
    rows = [f"| {c['shown']} | {c['name']} |" for c in cases if "shown" in c]
    return "\n".join(["| answer | what happens |", "| --- | --- |", *rows]) + "\n"


if __name__ == "__main__":
    print(table(load()), end="")
