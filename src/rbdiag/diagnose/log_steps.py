"""What to do about what a log says: first look, at the lines and at what they name; then what the catalogue says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from shlex import quote

from rbdiag.diagnose import log_words, steps
from rbdiag.facts.logs import LogKnown, LogWindow
from rbdiag.model import Facts, Spec, Step

# A step of the catalogue that begins so only looks, unless it goes on to do something.
_LOOKS = ("see ", "look ", "find ", "compare ", "ask ", "let the proxy check", "time ", "read ")
_DOES = r"\b(?:mend|start|restart|stop|block|end|raise|slow|install)\b"
_LOOPBACK = ("localhost", "127.", "[::1]", "0.0.0.0", "*")  # noqa: S104
# A file and a line in it, as configuration parsers name them: FILE:12, `FILE line 12`, `FILE at line: 12`.
_PLACE = r"(?<![\w/.:])(/(?!/)[\w./@+-]{1,200})(?::| at line:? | line:? )(\d{1,6})\b"
_PATH = r"/[^\s'\"<>|;,()]{1,300}"
_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?\.?"
_OPTION = r"[a-z][a-z0-9_-]{1,80}"
_ROOM = ("host.disk-full", "host.inode-full", "db.disk-full", "db.tmpdir-full")
_MEMORY = ("host.oom-kill", "host.oom-cgroup", "host.memory-pressure", "db.oom-killed")
_PATHS = ("api.static-permission", "api.route-missing", "host.permission-denied", "db.datadir-permission", "host.fs-readonly",
          "api.wrong-upstream", "db.service-down", "change.env-missing")  # fmt: skip
_PEERS = ("api.", "timeout.", "net.", "svc.not-running", "svc.port-in-use", "db.port-in-use", "db.service-down", "tls.")


def of(spec: Spec, log_name: str, lines: Sequence[LogKnown], window: LogWindow | None, facts: Facts) -> Iterator[Step]:
    """The steps for a code that these lines speak for."""
    first = lines[0]
    yield from log_words.read_lines(window, log_name, first.text)
    seen: set[str] = set()
    for line in lines[:2]:
        for step in _own(spec, line, window, facts):
            if step.command not in seen:
                seen.add(step.command)
                yield step
    yield from by_the_catalogue(spec)


def by_the_catalogue(spec: Spec) -> Iterator[Step]:
    """What the catalogue says; what only looks comes first."""
    looks = [text for text in spec.resolution if text.startswith(_LOOKS) and not re.search(_DOES, text)]
    yield from (Step(text) for text in looks)
    yield from (Step(text, risk="disruptive") for text in spec.resolution if text not in looks)


def _own(spec: Spec, line: LogKnown, window: LogWindow | None, facts: Facts) -> Iterator[Step]:
    """How to look at the things that this line names."""
    code, root = spec.code, steps.sudo(facts)
    if place := re.search(_PLACE, line.text):
        number = int(place[2])
        yield Step(
            f"look at {place[1]}, line {number}", f"sed -n '{max(1, number - 2)},{number + 2}p' {quote(place[1])}"
        )
    if code == "api.proxy-misconfigured" and line.title.startswith("nginx"):
        yield Step("let the proxy check its configuration", f"{root}nginx -t")
    if code in _PATHS and (path := _path(line)):
        yield Step("see owner and mode along the whole path", f"namei -l {quote(path)}")
        if "unix:" in line.text:
            yield Step(
                "see who listens on which sockets there",
                f"{root}ss -lxp | grep -F -e {quote(path.rpartition('/')[0] + '/')}",
            )
    if code == "db.config-invalid" and re.fullmatch(_OPTION, line.name):
        # an option may be written with either sign
        pattern = quote(re.sub("[-_]", "[-_]", line.name))
        yield Step(
            f"see where {line.name} is set", f"grep -rn -e {pattern} /etc/my.cnf /etc/my.cnf.d /etc/mysql 2>/dev/null"
        )
    if code in _ROOM:
        path = quote(_path(line) or (window.subject if window and window.subject.startswith("/") else "/"))
        yield Step("see how much room and how many inodes are left there", f"df -h {path}; df -i {path}")
    if code in _MEMORY:
        yield Step("see who holds the memory now", "ps -eo pid,rss,etimes,args --sort=-rss | head -15")
    if code.startswith("dns.") and (host := _host(line)):
        yield Step(f"ask for {host} as programs do", f"getent ahosts {quote(host)}")
    if code.startswith(_PEERS):
        yield from _peer(code, line, root)
    unit = _unit(line, window, facts)
    if unit and not code.startswith(("net.", "dns.", "tls.", "api.upstream-refused")):
        yield Step(f"see the state of {unit}", f"systemctl status {quote(unit)} --no-pager")


def _peer(code: str, line: LogKnown, root: str) -> Iterator[Step]:
    """How to look at the other end of a connection."""
    end = log_words.address(line.name, line.text)
    if end is None:
        return
    host, port = end
    local = host.startswith(_LOOPBACK)
    if code.startswith("tls."):
        name = f" -servername {quote(host)}" if not host[0].isdigit() and host[0] != "[" else ""
        yield Step(
            "see the certificate that is shown there",
            f"openssl s_client -connect {quote(f'{host}:{port}')}{name} </dev/null 2>/dev/null | openssl x509 -noout -subject -issuer -dates",
        )
        return
    if local:
        yield Step(f"see who listens on port {port}", f"{root}ss -ltnp 'sport = :{port}'")
    if code.startswith(("api.", "timeout.")):
        scheme = "https" if line.name.startswith("https") else "http"
        yield Step(
            "ask it directly, and see how long the answer takes",
            f"curl -sS -o /dev/null -m 15 -w '%{{http_code}} after %{{time_total}} s\\n' {quote(f'{scheme}://{host}:{port}/')}",
        )
    elif not local:
        yield Step("see whether it can be reached from here", f"nc -zv -w 3 {quote(host.strip('[]'))} {port}")


def _path(line: LogKnown) -> str:
    """The file or folder that the line is about."""
    name = line.name.removeprefix("unix:")
    if name.startswith("/"):
        return name
    quoted = re.search(r"[\"'](/[^\"']{1,300})[\"']", line.text)
    found = quoted[1] if quoted else ""
    if not found and (socket := re.search(r"unix:(/[^\s:,\"']{1,200})", line.text)):
        found = socket[1]
    return found if re.fullmatch(_PATH, found) else ""


def _host(line: LogKnown) -> str:
    """The name that was looked up."""
    name = line.name.partition(":")[0]
    return name if re.fullmatch(_HOST, name) and not name.replace(".", "").isdigit() else ""


def _unit(line: LogKnown, window: LogWindow | None, facts: Facts) -> str:
    owner = window.owner if window is not None else ""
    return next((u for name in (line.name, owner) if (u := steps.our_unit(name, facts))), "")
