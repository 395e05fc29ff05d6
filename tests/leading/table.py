"""The table of docs/leading.md from what leading_worlds printed: table.py FILE.json"""
import json
import sys

COLUMNS = ("own_missed", "joint_missed", "leading", "tied", "not_leading", "insufficient", "largest_score", "no_overlap")
HEADS = ("own set misses", "joint sets miss", "领先", "并列领先", "不领先", "证据不足", "largest score", "no overlap")

worlds = json.load(open(sys.argv[1], encoding="utf-8"))
print("| world | " + " | ".join(HEADS) + " |")
print("|---|" + "---|" * len(HEADS))
for world in worlds:
    print(f"| {world['setting']} | " + " | ".join(f"{100 * world[column]:.1f}" for column in COLUMNS) + " |")
