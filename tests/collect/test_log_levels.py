"""How bad a line says it is, in the words of the programs that write logs; and what must not be taken for a level."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbdiag.collect.log_levels import level, stated

# One line as each program writes it, and its level.
SAID = """
fatal   | 2026-11-24T18:14:29Z 0 [FATAL] InnoDB: out of disk space in rollback
error   | 2026-11-24  8:29:28 0 [ERROR] mariadbd: unknown variable
info    | 2026-11-24  8:29:28 0 [Note] mariadbd: no error at all, unknown error handler loaded
info    | 2026-09-06T01:21:23.909082Z 0 [System] [MY-010257] [Server] /usr/sbin/mysqld ready
warning | 2026-11-24  8:09:01 3 [Warning] Access denied for user 'app'@'localhost' (using password: YES)
error   | 2026/11/24 18:14:29 [error] 811#811: *12 connect() failed (111: Connection refused)
fatal   | 2026/11/24 18:14:29 [emerg] 811#811: bind() to 0.0.0.0:80 failed
fatal   | 2026/11/24 18:14:29 [crit] 811#811: *1 SSL_do_handshake() failed
warning | 2026/11/24 18:14:29 [warn] 811#811: a client request body is buffered
info    | 2026/11/24 18:14:29 [notice] 811#811: signal 15 received, exiting
error   | [Tue Nov 24 18:14:29.123 2026] [core:error] [pid 12:tid 13] AH00124: too many redirects
info    | [Tue Nov 24 18:14:29.123 2026] [mpm_prefork:notice] [pid 12] AH00163: configured
error   | [Tue Nov 24 18:14:29 2026] [error] [client 10.0.0.1] File does not exist: /var/www/x
error   | 2026-11-24 18:14:29,123 - shop.orders - ERROR - no stock
info    | 2026-11-24 18:14:29,123 INFO shop: ErrorHandler started
warning | WARNING:root:low on stock
error   | ERROR 2026-11-24 18:14:29 views 12 13 no such view
info    | [2026-11-24 18:14:29 +0000] [123] [INFO] Booting worker with pid: 123
error   | [2026-11-24 18:14:29,123: ERROR/MainProcess] Task orders.pay raised
info    | INFO:     127.0.0.1:123 - "GET / HTTP/1.1" 500
error   | 18:14:29.123 [main] ERROR com.foo.Bar - it broke
error   | 2026-11-24 18:14:29.123 ERROR 123 --- [main] c.f.Bar : it broke
info    | 2026-11-24T18:14:29.123+01:00  INFO 1 --- [nio-8080-exec-1] c.e.Demo : errors: 0
error   | SEVERE: Servlet.service() threw
debug   | FINE: checked
warning | [2026-11-24T18:14:29,123][WARN ][o.e.m.j.JvmGcMonitorService] [node-1] overhead
error   | ERROR [main] 2026-11-24 18:14:29,123 CassandraDaemon.java:12 - cannot start
error   | [2026-11-24 18:14:29,123] ERROR Error while appending records (kafka.server.LogDirFailureChannel)
error   | {"level":"error","ts":1700000.1,"msg":"x"}
info    | {"level":30,"time":1531171074631,"msg":"the last request failed","pid":657}
warning | {"level":40,"time":1531171074631,"msg":"slow"}
error   | {"level":50,"time":1531171074631,"msg":"hello"}
fatal   | {"name":"app","hostname":"x","pid":1,"level":60,"msg":"bye"}
error   | {"@timestamp":"2026-11-24","log.level":"ERROR","message":"x"}
error   | {"@timestamp":"2026-11-24","log":{"level":"ERROR","logger":"x"},"message":"x"}
error   | {"severity":"ERROR","message":"x"}
error   | {"levelname": "ERROR", "message":"x"}
error   | {"version":"1.1","host":"x","short_message":"y","level":3}
error   | {"t":{"$date":"2026-11-24T18:14:29.123+00:00"},"s":"E",  "c":"NETWORK",  "id":22,"msg":"x"}
info    | {"t":{"$date":"2026-11-24T18:14:29.123+00:00"},"s":"I",  "c":"NETWORK",  "id":22,"msg":"error count"}
error   | {"log":"2026-11-24 ERROR it broke\\n","stream":"stderr","time":"2026-11-24T18:14:29Z"}
info    | {"user":{"level":"gold"},"level":"info","msg":"x"}
warning | time="2026-11-24T18:14:29Z" level=warning msg="no disk"
error   | time=2026-11-24T18:14:29Z level=ERROR msg="no disk"
error   | 2026-11-24T18:14:29.123Z\terror\tmain.go:12\tno disk\t{"a":1}
error   | ERRO[0000] no disk
error   | 6:14PM ERR no disk
error   | [18:14:29 ERR] no disk
info    | [18:14:29 INF] the last request failed
error   | 2026-11-24 18:14:29 error: no disk
error   | E, [2026-11-24T18:14:29.123 #123] ERROR -- : no disk
info    | I, [2026-11-24T18:14:29.123 #123]  INFO -- : error page shown
fatal   | [24-Nov-2026 18:14:29 UTC] PHP Fatal error:  Uncaught Error: Call to undefined function
warning | [24-Nov-2026 18:14:29 UTC] PHP Warning:  Undefined variable
warning | [24-Nov-2026 18:14:29] WARNING: [pool www] seems busy
error   | 2026-11-24 18:14:29.123 UTC [123] ERROR:  relation "x" does not exist
info    | 2026-11-24 18:14:29.123 UTC [123] LOG:  checkpoint starting: time
fatal   | 2026-11-24 18:14:29.123 UTC [123] app@db FATAL:  password authentication failed
warning | 1234:M 24 Nov 2026 18:14:29.123 # WARNING overcommit_memory is set to 0
info    | 1234:M 24 Nov 2026 18:14:29.123 * Background saving terminated with success
error   | E1124 18:14:29.123456       1 reflector.go:138] watch ended
info    | I1124 18:14:29.123456       1 reflector.go:138] error count 0
error   | <11>Nov 24 18:14:29 host prog[1]: it broke
info    | <14>Nov 24 18:14:29 host prog[1]: it runs
error   | fail: Microsoft.AspNetCore.Server.Kestrel[13]
fatal   | crit: Shop.Worker[0]
info    | info: Shop.Worker[0]
warning | Nov 24 18:14:29 host postfix/smtpd[12]: warning: hostname x does not resolve
fatal   | Nov 24 18:14:29 host postfix/smtpd[12]: fatal: no such table
error   | Nov 24 18:14:29 host sshd[12]: error: maximum authentication attempts exceeded
error   | 2026-11-24 18:14:29.123 [error] <0.123.0> CRASH REPORT
fatal   | [ALERT]    (12) : sendmsg() failed
error   | [2026-11-24T18:14:29Z ERROR shop::orders] no disk
error   | \x1b[2m2026-11-24T18:14:29Z\x1b[0m \x1b[31mERROR\x1b[0m shop: no disk
error   | web_1  | 2026-11-24 18:14:29 ERROR no disk
info    | 2026-11-24 04:30:31, Info                  CBS    Failed to get next element
warning | 03-17 16:13:38.819  1702  8671 W ActivityManager: getTasks: caller 10111
info    | 2026-11-24 18:14:29 INFO  status of ERROR queue: empty
error   | {"timeUnixNano":"1","severityNumber":17,"body":{"stringValue":"x"}}
info    | {"timeUnixNano":"1","severityNumber":9,"body":{"stringValue":"it failed"}}
warning | {"timeUnixNano":"1","severityText":"WARN","severityNumber":13,"body":{"stringValue":"x"}}
"""

# Lines that name no level, and what their words say.
STRONG = """
error | Traceback (most recent call last):
fatal | panic: runtime error: index out of range [3] with length 3
fatal | Nov 24 18:14:29 host kernel: [12.3] app[12]: segfault at 0 ip 00007f
fatal | Segmentation fault (core dumped)
error | Nov 24 18:14:29 host app[12]: failed to open /var/lib/x
error | Nov 24 18:14:29 host app[12]: cannot reach db1: connection refused
error | Exception in thread "main" java.lang.IllegalStateException: no
error | ValueError: invalid literal
error | 2026/11/24 18:14:29 listen tcp :80: bind: address already in use
error | Nov 24 18:14:29 host app[12]: read timed out after 3 s
error | Nov 24 18:14:29 host systemd[1]: shop.service: Failed with result 'exit-code'.
error | 2026-11-24 18:14:29,982 /bin/sh: 1: gunicorn: not found
error | bash: line 3: jq: command not found
fatal | 2026-11-24 18:14:29,982 /entry.sh: line 4:     7 Killed                  java -jar app.jar
fatal | 2026-11-24T18:14:29Z Killed
error | /app: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /app)
error | 2026-11-24 18:14:29 process exited with code 137
error | 2026-11-24 18:14:29 worker terminated by SIGKILL
error | Nov 24 18:14:29 host systemd[1]: shop.service: Main process exited, code=exited, status=203/EXEC
error | Nov 24 18:14:29 web1 kernel: [12.3] nfs: server nas1 not responding, still trying
error | 2026-11-24 18:14:29 Back-off restarting failed container api in pod api-7
error | {"reason":"FailedScheduling","message":"0/3 nodes are available: 3 Insufficient memory"}
error | 2026-11-24 18:14:29 pod api-7 is in CrashLoopBackOff
fatal | 2026-11-24 18:14:29 container api: OOMKilled
error | Nov 24 18:14:29 lb1 haproxy[2]: Server be_app/app1 is DOWN, reason: Layer4 connection problem
error | Nov 24 18:14:29 lb1 haproxy[2]: backend be_app has no server available!
error | 2026-11-24 18:14:29 memory resource limit alarm set on node rabbit@mq1
error | 2026-11-24 18:14:29 flood stage disk watermark [95%] exceeded on [x], indices will be marked read-only
error | 2026-11-24 18:14:29 Bad file format reading the append only file
error | 2026-11-24 18:14:29 connect ECONNREFUSED 10.0.0.1:5432
error | 2026-11-24 18:14:29 FEHLER: Verbindung zum Server verloren
error | {"log":"{\\"level\\":\\"error\\",\\"msg\\":\\"x\\"}\\n","stream":"stderr"}
none  | 2026-11-24 18:14:29 process exited with code 0
none  | 2026-11-24 18:14:29 process exited with code 143
none  | 2026-11-24 18:14:29 supervisord: exited: job (exit status 1; expected)
none  | 2026-11-24 18:14:29 GET /favicon.ico 404 not found
none  | 2026-11-24 18:14:29 arena: bob was Killed by eve
none  | Nov 24 18:14:29 lb1 haproxy[2]: Server be_app/app1 is UP, reason: Layer4 check passed
none  | Nov 24 18:14:29 lb1 haproxy[2]: Server be_app/app1 is going DOWN for maintenance
none  | Nov 24 18:14:29 web1 kernel: [12.3] nfs: server nas1 OK
none  | 2026-11-24 18:14:29 memory resource limit alarm cleared on node rabbit@mq1
none  | 2026-11-24 18:14:29 session switched to read-only
none  | 2026-11-24 18:14:29 user said hello
none  | Nov 24 18:14:29 host app[12]: error_count=0
none  | Nov 24 18:14:29 host app[12]: errors=0 warnings=0
none  | Nov 24 18:14:29 host app[12]: errors: 0
none  | Nov 24 18:14:29 host app[12]: failed: 0, passed: 12
none  | Nov 24 18:14:29 host app[12]: done, 0 errors
none  | Nov 24 18:14:29 host app[12]: 0 failed, 12 passed
none  | Nov 24 18:14:29 host app[12]: no error
none  | Nov 24 18:14:29 host app[12]: finished without error
none  | Nov 24 18:14:29 host app[12]: error: none
none  | 2026-11-24 18:14:29 error rate: 0.0
none  | Nov 24 18:14:29 host app[12]: ErrorHandler started
none  | 2026-11-24 18:14:29 loaded /etc/error/warn.conf
none  | Nov 24 18:14:29 host systemd[1]: Started Error reporting service.
none  | Nov 24 18:14:29 h CRON[12]: (root) CMD (command -v debian-sa1 > /dev/null)
none  | 10.0.0.1 - - [24/Nov/2026:18:14:29 +0000] "GET /errors HTTP/1.1" 200 12 "-" "curl"
none  | 10.0.0.1 - - [24/Nov/2026:18:14:29 +0000] "GET /failed to/fatal: HTTP/1.1" 500 12
none  | {"msg":"0 errors found"}
none  | Nov 24 18:14:29 host sshd[12]: Failed password for root from 1.2.3.4 port 22 ssh2
"""


def rows(table: str) -> list[tuple[str, str]]:
    cut = [line.partition("|") for line in table.strip().splitlines()]
    return [(word.strip(), line.strip(" ").replace("\\x1b", "\x1b").replace("\\t", "\t")) for word, _, line in cut]


@pytest.mark.parametrize(("wanted", "line"), rows(SAID), ids=[line for _, line in rows(SAID)])
def test_a_level_is_what_its_writer_says(wanted: str, line: str) -> None:
    assert level(line) == wanted
    assert stated(line) == wanted or line.startswith('{"log":')  # a line within a line: its words are looked at


@pytest.mark.parametrize(("wanted", "line"), rows(STRONG), ids=[line for _, line in rows(STRONG)])
def test_a_line_without_a_level_is_as_bad_as_its_words(wanted: str, line: str) -> None:
    assert level(line) == wanted


def test_what_stands_before_the_time_may_be_the_level() -> None:
    line = "ERROR [shop] 2026-11-24 18:14:29 out of stock"
    assert level(line, line.index(" out")) == "error"


@given(st.text(max_size=400), st.integers(0, 400))
def test_any_text_has_a_level(line: str, head: int) -> None:
    assert level(line, head) in ("fatal", "error", "warning", "info", "debug", "none")


def test_a_hostile_line_costs_next_to_nothing() -> None:
    for piece in ("error ", "[", '"level":', "a=", "{", " - ", ": error", "fail", "0 ", "\t", "Jan ", "1:"):
        level(piece * 400_000)
