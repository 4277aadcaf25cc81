"""Rules on Rust code, read line by line as rustfmt lays it out."""

import re
from collections.abc import Iterator

from repository.rules_python import BANNED_WORDS, EMPTY_NAMES, FIXED_NAMES, FUNCTION_LINES_MAX, words_of
from repository.tree import Finding, Rule, matches

FUNCTION = re.compile(r"^(\s*)(?:pub(?:\([a-z ]+\))? )?(?:const )?(?:unsafe )?(?:extern \"C\" )?fn (\w+)")
DEFINITION = re.compile(
    r"\b(?:fn|let|let mut|struct|enum|trait|mod|const|static|type) (\w+)|^\s*(?:pub(?:\([a-z ]+\))? )?(\w+): "
)
COMMENT = re.compile(r"//.*$")


def find_long_function(_path: str, text: str) -> Iterator[Finding]:
    """Find functions of more than 70 lines."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        found = FUNCTION.match(line)
        if not found or line.rstrip().endswith((";", "}")):
            continue
        end = next((at for at in range(start + 1, len(lines)) if lines[at] == found[1] + "}"), start)
        if end - start + 1 > FUNCTION_LINES_MAX:
            yield Finding(start + 1, f"{found[2]} has {end - start + 1} lines, expected at most {FUNCTION_LINES_MAX}")


def find_empty_name(path: str, text: str) -> Iterator[Finding]:
    """Find names that say nothing: modules and functions."""
    stem = path.rsplit("/", 1)[-1].removesuffix(".rs")
    if stem in EMPTY_NAMES:
        yield Finding(1, f"a module called {stem} says nothing: name what it holds")
    for number, line in enumerate(text.splitlines(), start=1):
        found = FUNCTION.match(line)
        if found and (found[2] in EMPTY_NAMES or found[2].startswith("process_") or found[2].endswith("_v2")):
            yield Finding(number, f"{found[2]} says nothing: name what it does")


def find_banned_word(path: str, text: str) -> Iterator[Finding]:
    """Find names with a word that STYLE's table replaces; the codecs keep the words of what they read."""
    allowed = {"timestamp"} if path.startswith("app/native/market/") else set()
    for number, line in enumerate(text.splitlines(), start=1):
        for found in DEFINITION.finditer(COMMENT.sub("", line)):
            name = found[1] or found[2]
            for word in words_of(FIXED_NAMES.sub("", name)):
                if word in BANNED_WORDS and word not in allowed:
                    yield Finding(number, f"{name}: say {BANNED_WORDS[word]}, not {word}")


def find_clock(_path: str, text: str) -> Iterator[Finding]:
    """Find readings of a clock; in the core the time is an argument."""
    pattern = r"\b(?:SystemTime|Instant)::now\b|\bclock_gettime\b"
    yield from matches(pattern, text, "reads {}: take the time as an argument")


def find_outside_world(_path: str, text: str) -> Iterator[Finding]:
    """Find the operating system in a crate that must not know it."""
    pattern = r"\bstd::(?:net|process|thread|env)\b|\blibc::|\brand::"
    yield from matches(pattern, text, "uses {}: only the journal touches the operating system")


def find_float_money(_path: str, text: str) -> Iterator[Finding]:
    """Find amounts scaled by 1e-9 that are declared as floats."""
    yield from matches(r"\w+_e9: (?:Option<)?f(?:32|64)\b", text, "{}: amounts are integers")


def find_unwrap(_path: str, text: str) -> Iterator[Finding]:
    """Find `unwrap` outside tests: it says neither what was expected nor why it holds."""
    code = text.partition("#[cfg(test)]")[0]
    yield from matches(r"^(?!\s*//).*\.unwrap\(\)", code, "unwrap: return the error, or expect() with the invariant")


def find_python_in_core(_path: str, text: str) -> Iterator[Finding]:
    """Find pyo3 outside the binding."""
    yield from matches(r"^pyo3\b", text, "depends on pyo3: only the binding knows Python")


RULES = (
    Rule(
        name="a Rust function has at most 70 lines",
        paths=r"\.rs$",
        find=find_long_function,
        bad=(
            "fn f() {\n" + "    x();\n" * 69 + "}\n",
            "    pub(crate) fn f(\n        x: u8,\n    ) {\n" + "        x();\n" * 68 + "    }\n",
        ),
        good=("fn f() {\n" + "    x();\n" * 68 + "}\n", "    fn f();\n" + "    x\n" * 80 + "    }\n"),
        sample_path="app/native/x.rs",
    ),
    Rule(
        name="a Rust name says something",
        paths=r"\.rs$",
        find=find_empty_name,
        bad=("fn process_quote() {}", "pub(crate) fn info() {}", "pub fn quote_v2() {}"),
        good=("fn decode() {}",),
        sample_path="app/native/x.rs",
    ),
    Rule(
        name="Rust names use STYLE's words",
        paths=r"\.rs$",
        find=find_banned_word,
        bad=("let tick = 1;", "    pub candle: Bar,", "fn holdings() {}", "struct TickReader;", "    timestamp: i64,"),
        good=("let tick_to_wire_ns = 1;", "// a tick", "let sticky = 1;"),
        sample_path="app/native/x.rs",
    ),
    Rule(
        name="the core reads no clock",
        # The journal refreshes its heartbeat; the binding gives the loops their time and waits for so many seconds.
        paths=r"^app/native/(?!journal/|binding/|.*/(?:tests|benches|examples)/).*\.rs$",
        find=find_clock,
        bad=("let now = Instant::now();", "SystemTime::now()"),
        good=("let now_ns: i64 = 1;",),
        sample_path="app/native/risk/src/x.rs",
    ),
    Rule(
        name="only the journal and the binding touch the operating system",
        paths=r"^app/native/(?!journal/|binding/|.*/(?:tests|benches|examples)/).*\.rs$",
        find=find_outside_world,
        bad=("use std::net::TcpStream;", "libc::getpid()", "std::thread::spawn(f);"),
        good=("use std::collections::HashMap;",),
        sample_path="app/native/risk/src/x.rs",
    ),
    Rule(
        name="amounts in Rust are integers",
        paths=r"\.rs$",
        find=find_float_money,
        bad=("    price_e9: f64,", "fn f(cash_e9: Option<f64>) {}"),
        good=("    price_e9: i64,",),
        sample_path="app/native/x.rs",
    ),
    Rule(
        name="no unwrap outside tests",
        paths=r"^app/native/(?!.*/(?:tests|benches|examples)/).*\.rs$",
        find=find_unwrap,
        bad=("    let x = y.unwrap();", "fn f() { y.unwrap() }\n#[cfg(test)]\n"),
        good=("#[cfg(test)]\nmod tests { fn f() { y.unwrap() } }", "y.unwrap_or(1)", "/// y.unwrap()"),
        sample_path="app/native/risk/src/x.rs",
    ),
    Rule(
        name="only the binding knows Python",
        paths=r"^app/native/(?!binding/)\w+/Cargo\.toml$",
        find=find_python_in_core,
        bad=("pyo3.workspace = true", 'pyo3 = "0.29"'),
        good=("libc.workspace = true",),
        sample_path="app/native/risk/Cargo.toml",
    ),
)
