"""Rules on Python code, read as a syntax tree."""

import ast
import re
from collections.abc import Iterator

from repository.tree import Finding, Rule

FUNCTION_LINES_MAX = 70
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "data", "info", "misc", "handler"}
EMPTY_SUFFIXES = re.compile(r"(?<!Risk)Manager$|(?:Handler|Helper|Helpers|Utils|Util|Info)$")
# STYLE's table of words: what is said instead.
BANNED_WORDS = {
    "tick": "quote or trade",
    "ticks": "quotes or trades",
    "candle": "bar",
    "candles": "bars",
    "holdings": "positions",
    "timestamp": "ts_event_ns or ts_recv_ns",
    "timestamps": "ts_event_ns or ts_recv_ns",
}
# Fixed by the product: the latency from the market event to the order's bytes.
FIXED_NAMES = re.compile(r"tick_to_wire|TickToWire", re.IGNORECASE)
CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "loop": {"time"},
}


def words_of(name: str) -> list[str]:
    """Return the words of a snake_case or PascalCase name, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return what the code names itself: functions, classes, parameters, variables, attributes it sets."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def find_long_function(_path: str, text: str) -> Iterator[Finding]:
    """Find functions of more than 70 lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield Finding(node.lineno, f"{node.name} has {lines} lines, expected at most {FUNCTION_LINES_MAX}")


def find_empty_name(path: str, text: str) -> Iterator[Finding]:
    """Find names that say nothing: modules, functions and classes."""
    stem = path.rsplit("/", 1)[-1].removesuffix(".py").removesuffix(".pyi").strip("_")
    if stem in EMPTY_NAMES:
        yield Finding(1, f"a module called {stem} says nothing: name what it holds")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = node.name.strip("_")
            if name in EMPTY_NAMES or name.startswith("process_") or name.endswith("_v2"):
                yield Finding(node.lineno, f"{node.name} says nothing: name what it does")
            elif isinstance(node, ast.ClassDef) and EMPTY_SUFFIXES.search(node.name):
                yield Finding(node.lineno, f"{node.name} says nothing: name what it is")


def find_banned_word(path: str, text: str) -> Iterator[Finding]:
    """Find names with a word that STYLE's table replaces; a venue's messages keep the venue's words."""
    allowed = {"timestamp"} if path.startswith("app/holdfast/venues/") else set()
    for line, name in defined_names(ast.parse(text)):
        for word in words_of(FIXED_NAMES.sub("", name)):
            if word in BANNED_WORDS and word not in allowed:
                yield Finding(line, f"{name}: say {BANNED_WORDS[word]}, not {word}")


def find_clock(_path: str, text: str) -> Iterator[Finding]:
    """Find readings of a clock; only holdfast.clock reads one."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            taken = {alias.name for alias in node.names} & CLOCKS["time"]
            if taken:
                yield Finding(node.lineno, f"imports {', '.join(sorted(taken))}: use holdfast.clock")
        elif isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if node.attr in CLOCKS.get(name, set()):
                yield Finding(node.lineno, f"reads {name}.{node.attr}: use holdfast.clock")


def find_float_money(_path: str, text: str) -> Iterator[Finding]:
    """Find amounts scaled by 1e-9 that are declared or made as floats."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg):
            name, annotation, value = node.arg, node.annotation, None
        elif isinstance(node, ast.AnnAssign):
            name, annotation, value = ast.unparse(node.target), node.annotation, node.value
        elif isinstance(node, ast.Assign):
            name, annotation, value = ast.unparse(node.targets[0]), None, node.value
        else:
            continue
        is_made_float = isinstance(value, ast.Call) and ast.unparse(value.func) == "float"
        is_said_float = annotation is not None and re.search(r"\bfloat\b", ast.unparse(annotation)) is not None
        if name.endswith("_e9") and (is_made_float or is_said_float):
            yield Finding(node.lineno, f"{name} is a float: amounts are integers")


def find_mock(_path: str, text: str) -> Iterator[Finding]:
    """Find mock libraries; a test uses the real part, or a fake on its port."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            imported = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        else:
            continue
        if any("mock" in name.split(".") for name in imported):
            yield Finding(node.lineno, "imports a mock library: use the real part, or a fake on its port")


def find_stray_metric(_path: str, text: str) -> Iterator[Finding]:
    """Find metrics declared outside holdfast.metrics."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client":
            taken = {alias.name for alias in node.names} & {"Counter", "Gauge", "Histogram", "Summary", "Enum", "Info"}
            if taken:
                yield Finding(
                    node.lineno, f"imports {', '.join(sorted(taken))}: declare metrics in holdfast/metrics.py"
                )


def find_type_only_import(_path: str, text: str) -> Iterator[Finding]:
    """Find run-time imports of names that exist only in the native module's stub."""
    tree = ast.parse(text)
    guarded = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "holdfast._native" and id(node) not in guarded:
            taken = {alias.name for alias in node.names} & {"Record", "Code"}
            if taken:
                yield Finding(
                    node.lineno, f"imports {', '.join(sorted(taken))}, a type only: import it if TYPE_CHECKING"
                )


RULES = (
    Rule(
        name="a Python function has at most 70 lines",
        paths=r"\.py$",
        find=find_long_function,
        bad=("def f():\n" + "    x = 1\n" * 70, "async def f():\n" + "    x = 1\n" * 70),
        good=("def f():\n" + "    x = 1\n" * 69,),
        sample_path="app/x.py",
    ),
    Rule(
        name="a Python name says something",
        paths=r"^(app|tests)/.*\.pyi?$",
        find=find_empty_name,
        bad=(
            "def process_quote(): ...",
            "class OrderManager: ...",
            "def data(): ...",
            "def quote_v2(): ...",
            "class QuoteInfo: ...",
        ),
        good=("class RiskManager: ...", "def decode_quote(): ...", "class RiskManagerSettings: ..."),
        sample_path="app/holdfast/x.py",
    ),
    Rule(
        name="a Python module's name says something",
        paths=r"^(app|tests)/.*\.pyi?$",
        find=find_empty_name,
        bad=("x = 1",),
        good=(),
        sample_path="app/holdfast/utils.py",
    ),
    Rule(
        name="Python names use STYLE's words",
        paths=r"^(app|tests)/.*\.py$",
        find=find_banned_word,
        bad=(
            "last_tick = 1",
            "def on_candle(): ...",
            "def f(holdings): ...",
            "self.timestamp = 1",
            "class TickReader: ...",
        ),
        good=("tick_to_wire_ns = 1", "moment.timestamp()", "def f(sticky): ..."),
        sample_path="app/x.py",
    ),
    Rule(
        # The emergency stop runs as a single file, without the package.
        name="only holdfast.clock reads a clock",
        paths=r"^app/holdfast/(?!clock\.py|emergency_stop\.py).*\.py$",
        find=find_clock,
        bad=("time.time()", "from time import monotonic", "datetime.datetime.now(UTC)", "date.today()", "loop.time()"),
        good=("clock.now_ns()", "time.sleep(1)", "datetime.fromtimestamp(0, UTC)", "from datetime import time"),
        sample_path="app/holdfast/x.py",
    ),
    Rule(
        name="amounts in Python are integers",
        paths=r"\.pyi?$",
        find=find_float_money,
        bad=("price_e9: float = 1", "def f(cash_e9: float | None): ...", "price_e9 = float(text)"),
        good=("price_e9: int = 1", "def f(cash_e9: int): ...", "ratio: float = 1.0"),
        sample_path="app/x.py",
    ),
    Rule(
        name="no test uses a mock library",
        paths=r"^(app|tests)/.*\.py$",
        find=find_mock,
        bad=("from unittest.mock import Mock", "import unittest.mock", "from unittest import mock", "import mock"),
        good=("import unittest", "from holdfast import clock"),
        sample_path="tests/x.py",
    ),
    Rule(
        name="every metric is declared in holdfast.metrics",
        paths=r"^app/holdfast/(?!metrics\.py).*\.py$",
        find=find_stray_metric,
        bad=("from prometheus_client import Counter",),
        good=("from prometheus_client import start_http_server",),
        sample_path="app/holdfast/x.py",
    ),
    Rule(
        name="type-only names are imported for type checking only",
        paths=r"^(app|tests)/.*\.py$",
        find=find_type_only_import,
        bad=("from holdfast._native import Quote, Record", "if x:\n    from holdfast._native import Code"),
        good=("if TYPE_CHECKING:\n    from holdfast._native import Record", "from holdfast._native import Quote"),
        sample_path="app/x.py",
    ),
)
