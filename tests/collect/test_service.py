"""Which service stands behind a process: cgroup paths of every manager, command lines of every runtime."""

from __future__ import annotations

import pytest

from rbdiag.collect.service import cgroup_path, container_of, display, doing, runtime_by_name, unit_of


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/mpd.service", "mpd.service"),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", ""),
        ("/user.slice/user-1000.slice/session-3.scope", ""),
        ("/init.scope", ""),
        ("/system.slice/containerd.service", "containerd.service"),
        ("/system.slice/shop.service/workers", "shop.service"),
        (r"/system.slice/dev\x2dsda.service", r"dev\x2dsda.service"),
        ("/machine.slice/web.service/payload/system.slice/shop.service", ""),
        ("/", ""),
        ("/my.service.d/x", ""),
    ],
)
def test_the_unit_in_a_cgroup_path(path: str, unit: str) -> None:
    assert unit_of(path) == unit


ID = "0123456789ab" + "c" * 52


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/docker/{ID}", "container 0123456789ab"),
        (f"/system.slice/docker-{ID}.scope", "container 0123456789ab"),
        (f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", "container 0123456789ab"),
        (f"/kubepods/burstable/pod1234/{ID}", "container 0123456789ab"),
        (f"/machine.slice/libpod-{ID}.scope", "container 0123456789ab"),
        ("/lxc.payload.web/system.slice/nginx.service", "container web"),
        ("/machine.slice/web.service/payload/system.slice/shop.service", "container web"),
        ("/web/payload/system.slice/shop.service", "container web"),
        ("/system.slice/nginx.service", ""),
        ("/system.slice/containerd.service", ""),
        ("/system.slice/docker.service", ""),
    ],
)
def test_the_container_in_a_cgroup_path(path: str, container: str) -> None:
    assert container_of(path) == container


def test_the_path_that_says_most_wins() -> None:
    v1 = b"9:name=systemd:/system.slice/shop.service\n4:memory:/a/very/long/path/of/something/else\n0::/\n"
    assert cgroup_path(v1) == "/system.slice/shop.service"
    assert cgroup_path(b"0::/system.slice/shop.service\n") == "/system.slice/shop.service"
    assert cgroup_path(b"1:cpu:/own/group\n0::/\n") == "/own/group"


@pytest.mark.parametrize(
    ("name", "command", "shown"),
    [
        ("nginx", ["nginx: master process /usr/sbin/nginx"], "nginx"),
        ("python3", ["python3", "/srv/shop/app.py", "--port", "80"], "app.py"),
        ("python3", ["/usr/bin/python3", "-u", "-W", "error", "app.py"], "error"),
        ("python3", ["python3", "-m", "http.server"], "http.server"),
        ("python3", ["python3", "-c", "while True: pass"], "python3"),
        ("gunicorn", ["/srv/venv/bin/python", "/srv/venv/bin/gunicorn", "app:app"], "gunicorn"),
        ("bash", ["bash", "/usr/local/bin/backup.sh"], "backup.sh"),
        ("bash", ["-bash"], "bash"),
        ("sh", ["sh", "-c", "while :; do :; done"], "sh"),
        ("java", ["java", "-Xmx1g", "-jar", "/opt/shop/shop.jar"], "shop.jar"),
        ("java", ["java", "-cp", "/opt/x.jar:/opt/y.jar", "org.example.Main", "arg"], "Main"),
        ("node", ["node", "/srv/server.js"], "server.js"),
        ("kworker/0:1", [], "kworker/0:1"),
    ],
)
def test_what_a_person_calls_the_program(name: str, command: list[str], shown: str) -> None:
    assert display(name, command) == shown


@pytest.mark.parametrize(
    ("program", "runtime"),
    [
        ("python3.11", "python"), ("python", "python"), ("pypy3", "python"), ("java", "java"), ("node", "node"),
        ("nodejs", "unknown"), ("php-fpm8.2", "php"), ("php8.2", "php"), ("ruby3.1", "ruby"), ("perl", "perl"),
        ("javascriptd", "unknown"), ("nodeman", "unknown"), ("nginx", "unknown"), ("", "unknown"),
    ],
)  # fmt: skip
def test_the_runtime_by_a_programs_name(program: str, runtime: str) -> None:
    assert runtime_by_name(program) == runtime


@pytest.mark.parametrize(
    ("name", "work"),
    [("cc1plus", "build"), ("ld", "build"), ("xz", "pack"), ("mariadbd", "database"), ("python3", ""), ("nginx", "")],
)
def test_what_kind_of_work_a_name_stands_for(name: str, work: str) -> None:
    assert doing(name) == work
