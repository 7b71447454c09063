"""What must vanish, and what must stay; both are promises."""

from __future__ import annotations

import os
import random
import shlex
import string
import subprocess
import sys
from collections.abc import Callable

import pytest

from rbdiag.redact import MASK, _argument, _harmless, _redact, is_secret, redact, redact_command, redact_statement

# HUNTER2 is planted in each; nothing else of the line may be lost unless the second column says how it is shown.
TEXTS = [
    ("password=HUNTER2", "password=***"),
    ("PASSWORD: HUNTER2", "PASSWORD: ***"),
    ("login with password=HUNTER2, user=bob failed", "login with password=***, user=bob failed"),
    ("(password=HUNTER2)", "(password=***)"),
    ("db_password => 'HUNTER2',", "db_password => '***',"),
    ("DB_PASS='HUNTER2' # main", "DB_PASS='***' # main"),
    ("export AWS_SECRET_ACCESS_KEY=HUNTER2", "export AWS_SECRET_ACCESS_KEY=***"),
    ("MYSQL_PWD=HUNTER2 mysql -h db", "MYSQL_PWD=*** mysql -h db"),
    ("PGPASSWORD=HUNTER2 psql -h db", "PGPASSWORD=*** psql -h db"),
    ("password = HUNTER2 and more words", "password = ***"),
    ("  passphrase: HUNTER2, with comma", "  passphrase: ***"),
    ("pw=HUNTER2", "pw=***"),
    ("Server=db;Uid=sa;Pwd=HUNTER2;Database=x", "Server=db;Uid=sa;Pwd=***;Database=x"),
    ("AccountName=a;AccountKey=HUNTER2;EndpointSuffix=x", "AccountName=a;AccountKey=***;EndpointSuffix=x"),
    ('{"user":"bob","password":"HUNTER2","port":3306}', '{"user":"bob","password":"***","port":3306}'),
    ('{"password": "HUN\\"TER2"}', '{"password": "***"}'),
    ('msg="{\\"password\\":\\"HUNTER2\\",\\"a\\":1}"', 'msg="{\\"password\\":\\"***\\",\\"a\\":1}"'),
    ("{'api_key': 'HUNTER2', 'n': 1}", "{'api_key': '***', 'n': 1}"),
    ("{password: HUNTER2, user: bob}", "{password: ***, user: bob}"),
    ('"passwords": ["HUNTER2", "x"]', '"passwords": [***]'),
    ('"Authorization":["Bearer HUNTER2"]', '"Authorization":[***]'),
    ("Config(password=b'HUNTER2 x', n=1)", "Config(password=b'***', n=1)"),
    ('secret = """HUNTER2\nsecond line"""', 'secret = """***"""'),
    ("password: |\n  HUNTER2\n  more\nuser: bob", "password: ***user: bob"),
    ("- name: DB_PASSWORD\n  value: HUNTER2\n- name: X\n  value: y",
     "- name: DB_PASSWORD\n  value: ***\n- name: X\n  value: y"),
    ('{"name":"API_TOKEN","value":"HUNTER2"}', '{"name":"API_TOKEN","value":"***"}'),
    ('<property name="password" value="HUNTER2"/>', '<property name="password" value="***"/>'),
    ("<db-password>HUNTER2</db-password>", "<db-password>***</db-password>"),
    ('<user name="bob" password="HUNTER2"/>', '<user name="bob" password="***"/>'),
    ("mysql://root:HUNTER2@db:3306/shop", "mysql://root:***@db:3306/shop"),
    ("redis://:HUNTER2@cache:6379/0", "redis://:***@cache:6379/0"),
    ("amqp://u:p@ss/HUNTER2@mq/v", "amqp://u:***@mq/v"),
    ("amqp://u:HUNTER2@a,amqp://u:HUNTER2@b", "amqp://u:***@a,amqp://u:***@b"),
    ("https://x0HUNTER20HUNTER20HUNTER20@git.example/repo", "https://***@git.example/repo"),
    ("root:HUNTER2@tcp(127.0.0.1:3306)/db", "root:***@tcp(127.0.0.1:3306)/db"),
    ("GET /x?user=1&token=HUNTER2&y=2 HTTP/1.1", "GET /x?user=1&token=***&y=2 HTTP/1.1"),
    ("GET /x?key=HUNTER2", "GET /x?key=***"),
    ("https://b.example/o?sig=HUNTER2&se=2026", "https://b.example/o?sig=***&se=2026"),
    ("/login?next=%2Fcb%3Ftoken%3DHUNTER2", "/login?next=%2Fcb%3Ftoken%3D***"),
    ("Authorization: Bearer HUNTER2", "Authorization: Bearer ***"),
    ("Authorization: Basic dXNlcjpwdw==HUNTER2", "Authorization: Basic ***"),
    ('Authorization: Digest username="bob", response="HUNTER2"', "Authorization: Digest ***"),
    ("curl -H 'Authorization: token HUNTER2' https://x", "curl -H 'Authorization: token ***' https://x"),
    ("Cookie: a=1; session=HUNTER2", "Cookie: ***"),
    ("Set-Cookie: sid=HUNTER2; Path=/", "Set-Cookie: ***"),
    ("X-Api-Key: HUNTER2", "X-Api-Key: ***"),
    ("sent bearer HUNTER29 to the server", "sent bearer *** to the server"),
    ("authorization=Bearer HUNTER2", "authorization=Bearer ***"),
    ("CREATE USER a IDENTIFIED BY 'HUNTER2'", "CREATE USER a IDENTIFIED BY '***'"),
    ("ALTER USER a IDENTIFIED WITH caching_sha2_password BY 'HUNTER2'", None),
    ("IDENTIFIED BY PASSWORD '*HUNTER2'", "IDENTIFIED BY PASSWORD '***'"),
    ("SET PASSWORD FOR 'a'@'h' = PASSWORD('HUN''TER2')", "SET PASSWORD FOR 'a'@'h' = PASSWORD('***')"),
    ("SET PASSWORD FOR a@h='HUNTER2'", "SET PASSWORD FOR a@h='***'"),
    ("CREATE ROLE a ENCRYPTED PASSWORD 'HUNTER2'", "CREATE ROLE a ENCRYPTED PASSWORD '***'"),
    ("CHANGE MASTER TO MASTER_PASSWORD='HUNTER2', MASTER_PORT=3306",
     "CHANGE MASTER TO MASTER_PASSWORD='***', MASTER_PORT=3306"),
    ("machine h login bob password HUNTER2", "machine h login bob password ***"),
    ("requirepass HUNTER2", "requirepass ***"),
    ("cron[1]: (root) CMD (mysqldump -pHUNTER2 shop)", None),
    ("sudo: bob : COMMAND=/usr/bin/mysql -u root -pHUNTER2", "sudo: bob : COMMAND=/usr/bin/mysql -u root -p***"),
    ("ran: curl -u bob:HUNTER2 https://x", "ran: curl -u bob:*** https://x"),
    ("ran: sshpass -p 'HUNTER2 words' ssh h", "ran: sshpass -p *** ssh h"),
    ("tool --password HUNTER2 --port 3306", "tool --password *** --port 3306"),
    ("tool --password\0HUNTER2\0--port\x003306", "tool --password\0***\0--port\x003306"),
    ("-----BEGIN RSA PRIVATE KEY-----\nHUNTER2\n-----END RSA PRIVATE KEY-----\nrest",
     "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\nrest"),
    ("-----BEGIN PRIVATE KEY-----\\nHUNTER2 and the rest is cut off", "-----BEGIN PRIVATE KEY-----***"),
    ("-----BEGIN CERTIFICATE-----\nabc\n-----BEGIN PRIVATE KEY-----\nHUNTER2",
     "-----BEGIN CERTIFICATE-----\nabc\n-----BEGIN PRIVATE KEY-----***"),
    ('"{""password"":""HUNTER2"",""n"":1}"', '"{""password"":""***"",""n"":1}"'),
    ("mysql --password='it'\\''s HUNTER2' x", "mysql --password='***' x"),
    ('password="HUNTER2 and no closing quote', 'password="***'),
    ("CLIENT_SECRET_PROD=HUNTER2", "CLIENT_SECRET_PROD=***"),
    ("API_KEY_STRIPE=HUNTER2", "API_KEY_STRIPE=***"),
    ("spring.datasource.password: HUNTER2", "spring.datasource.password: ***"),
    ("Server=a;User Id=sa;Password=HUNTER2 two words;Encrypt=yes", "Server=a;User Id=sa;Password=***;Encrypt=yes"),
    ("Password=HUN TER HUNTER2;Server=a", "Password=***;Server=a"),
    ('"Server=a; Pwd=my HUNTER2;"', '"Server=a; Pwd=***;"'),
    ("x: a=1;Pwd=HUNTER2 refused; it goes on", "x: a=1;Pwd=*** refused; it goes on"),
    ('secret is "correct HUNTER2 staple" and was rejected', 'secret is "***" and was rejected'),
    ("the password was: 'my HUNTER2'", "the password was: '***'"),
    ('DB_PASSWORD is "HUNTER2"', 'DB_PASSWORD is "***"'),
    ("password for user bob is HUNTER2x", "password for user bob is ***"),
    ("smtp AUTH PLAIN AGFkbWluAHUNTER2 rejected", "smtp AUTH PLAIN *** rejected"),
    ("C: a1 AUTHENTICATE LOGIN HUNTER2abcd=", "C: a1 AUTHENTICATE LOGIN ***"),
    ("GET /oauth/callback?code=HUNTER2xYz&x=1 HTTP/1.1", "GET /oauth/callback?code=***&x=1 HTTP/1.1"),
    ("GET /in?state=af0&code=HUNTER2xYz", "GET /in?state=af0&code=***"),
    ("next=%2Fcb%3Fcode%3DHUNTER2xYz%26x%3D1", "next=%2Fcb%3Fcode%3D***%26x%3D1"),
    ("grant_type=authorization_code&code=HUNTER2xYz", "grant_type=authorization_code&code=***"),
    ("jdbc:oracle:thin:scott/HUNTER2@db:1521/x", "jdbc:oracle:thin:scott/***@db:1521/x"),
    ("sqlplus -S scott/HUNTER2@db", "sqlplus -S scott/***@db"),
    ("passwort=HUNTER2", "passwort=***"),
    ("dbKennwort: HUNTER2", "dbKennwort: ***"),
    ("mot_de_passe=HUNTER2", "mot_de_passe=***"),
    ("Mot de passe: HUNTER2", "Mot de passe: ***"),
    ("contraseña=HUNTER2", "contraseña=***"),
    ("senha=HUNTER2", "senha=***"),
    ("next=%2Fcb%3Ftoken%3DHUNTER2", "next=%2Fcb%3Ftoken%3D***"),
    # What says what is wrong is shown, and what stands among it is not.
    ("token: invalid HUNTER2b9c8d7e6f5a4 of bob", "token: invalid *** of bob"),
    ("token: rejected, password=HUNTER2 HUNTER2b9c8d7e6f5a4", "token: rejected, password=*** ***"),
    ("token: expired, password: HUNTER2", "token: expired, password: ***"),
    ("{password: denied, secret: HUNTER2}", "{password: ***, secret: ***}"),
    ('{"password": "denied HUNTER2"}', '{"password": "***"}'),
    ("password: deniedHUNTER2", "password: ***"),
    ("Cookie: missing=1; sid=HUNTER2", "Cookie: ***"),
    ("/prod/db/password: HUNTER2", "/prod/db/password: ***"),
    ("jwt.key: HUNTER2", "jwt.key: ***"),
]  # fmt: skip

# Arguments as /proc has them, and the line that may be shown.
COMMANDS = [
    (["mysql", "-uroot", "-pHUNTER2", "shop"], "mysql -uroot -p*** shop"),
    (["/usr/bin/mysqldump", "-p'HUNTER2'"], "/usr/bin/mysqldump -p***"),
    (["sudo", "mariadb", "-BNpHUNTER2"], "sudo mariadb -BNp***"),
    (["docker", "exec", "db", "mysqladmin", "-pHUNTER2", "ping"], "docker exec db mysqladmin -p*** ping"),
    (["mysqladmin", "password", "HUNTER2"], "mysqladmin password ***"),
    (["app", "--password=HUNTER2 with words", "x"], "app --password=*** x"),
    (["app", "--password", "HUNTER2", "--port=1"], "app --password *** --port=1"),
    (["app", "--password", "-HUNTER2"], "app --password ***"),
    (["app", "-password", "HUNTER2"], "app -password ***"),
    (["app", "--api-key", "HUNTER2"], "app --api-key ***"),
    (["app", "--api-key=HUNTER2"], "app --api-key=***"),
    (["app", "--token", "HUNTER2"], "app --token ***"),
    (["app", "--session", "redis://u:HUNTER2@c"], "app --session redis://u:***@c"),
    (["app", "--auth", "dXNlcjpwdzEyMzQ1HUNTER2"], "app --auth ***"),
    (["app", "--key", "HUNTER2"], "app --key ***"),
    (["app", "--oauth2-bearer", "HUNTER2"], "app --oauth2-bearer ***"),
    (["redis-cli", "-h", "c", "-a", "HUNTER2", "ping"], "redis-cli -h c -a *** ping"),
    (["redis-server", "--requirepass", "HUNTER2"], "redis-server --requirepass ***"),
    (["sshpass", "-p", "HUNTER2", "ssh", "-p", "22", "h"], "sshpass -p *** ssh -p 22 h"),
    (["sshpass", "-pHUNTER2", "ssh", "-p22", "h"], "sshpass -p*** ssh -p22 h"),
    (["curl", "-u", "bob:HUNTER2", "https://x"], "curl -u bob:*** https://x"),
    (["curl", "-sku", "bob:HUNTER2", "https://x"], "curl -sku bob:*** https://x"),
    (["curl", "-ubob:HUNTER2"], "curl -ubob:***"),
    (["curl", "--user", "bob:HUNTER2"], "curl --user bob:***"),
    (["curl", "-b", "sid=HUNTER2"], "curl -b sid=***"),
    (["curl", "-H", "Authorization: Bearer HUNTER2"], "curl -H 'Authorization: Bearer ***'"),
    (["curl", "-HX-Api-Key: HUNTER2"], "curl '-HX-Api-Key: ***'"),
    (["curl", "-d", '{"password":"HUNTER2"}', "x"], """curl -d '{"password":"***"}' x"""),
    (["psql", "postgresql://bob:HUNTER2@db/shop"], "psql postgresql://bob:***@db/shop"),
    (["psql", "host=db user=bob password=HUNTER2"], "psql 'host=db user=bob password=***'"),
    (["env", "PGPASSWORD=HUNTER2 x", "psql"], "env PGPASSWORD=*** psql"),
    (["sh", "-c", "PGPASSWORD=HUNTER2 psql -h db"], "sh -c 'PGPASSWORD=*** psql -h db'"),
    (["bash", "-lc", "mysql -p'HUNTER2 words' shop; nginx -p /srv"], "bash -lc 'mysql -p*** shop; nginx -p /srv'"),
    (["java", "-Dspring.datasource.password=HUNTER2", "-jar", "a.jar"],
     "java -Dspring.datasource.password=*** -jar a.jar"),
    (["java", "-Dtoken=HUNTER2", "A"], "java -Dtoken=*** A"),
    (["java", "-Djavax.net.ssl.keyStorePassword=HUNTER2", "A"], "java -Djavax.net.ssl.keyStorePassword=*** A"),
    (["keytool", "-storepass", "HUNTER2"], "keytool -storepass ***"),
    (["openssl", "rsa", "-passin", "pass:HUNTER2"], "openssl rsa -passin ***"),
    (["beam.smp", "-setcookie", "HUNTER2", "-name", "rabbit@h"], "beam.smp -setcookie *** -name rabbit@h"),
    (["docker", "login", "-u", "bob", "-p", "HUNTER2"], "docker login -u bob -p ***"),
    (["docker", "run", "-e", "MYSQL_ROOT_PASSWORD=HUNTER2", "-p", "80:80"],
     "docker run -e MYSQL_ROOT_PASSWORD=*** -p 80:80"),
    (["kubectl", "create", "--from-literal=password=HUNTER2"], "kubectl create --from-literal=password=***"),
    (["mount", "-o", "username=bob,password=HUNTER2,vers=3"], "mount -o username=bob,password=***,vers=3"),
    (["mongodump", "-u", "bob", "-p", "HUNTER2"], "mongodump -u bob -p ***"),
    (["ldapsearch", "-D", "cn=x", "-w", "HUNTER2"], "ldapsearch -D cn=x -w ***"),
    (["ftp", "bob:HUNTER2@host/dir"], "ftp bob:***@host/dir"),
    (["7z", "a", "-pHUNTER2", "x.7z"], "7z a -p*** x.7z"),
    (["mysql -uroot -pHUNTER2 shop"], "mysql -uroot -p*** shop"),
    (["app: password=HUNTER2"], "app: password=***"),
]  # fmt: skip

# Numbers of payment cards that their issuers publish for tests, and what else is secret by what it looks like.
CARDS = [
    ("card 4111111111111111 declined cvv=123", "card *** declined cvv=***"),
    ("card=4111 1111 1111 1111", "card=***"),
    ("card: 4111-1111-1111-1111, exp 12/27", "card: ***, exp 12/27"),
    ("3782 822463 10005 is no good", "*** is no good"),
    ('{"card_id":"5555555555554444","cvc":"987"}', '{"card_id":"***","cvc":"***"}'),
    ("/pay?pan=2223003122003222&x=1", "/pay?pan=***&x=1"),
    ("6011111111111117,3530111333300000,30569309025904", "***,***,***"),
    ("4111111111111111", "***"),
    ("pin=4711 rejected", "pin=*** rejected"),
    ('{"userPin": 471147}', '{"userPin": ***}'),
    ("password: denied", "password: denied"),
    ('"password":"denied123"', '"password":"***"'),
    ("password=denied", "password=***"),
    ("token: abc", "token: ***"),
    ("password: hunter rejected", "password: ***"),
    ("login failed, password: hunter rejected", "login failed, password: *** rejected"),
    ("tool --token\0missing\0x", "tool --token\0***\0x"),
]

TOKENS = [
    "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "gho_" + "a1B2" * 9, "ghs_" + "a1B2" * 9,
    "github_pat_" + "a1B2_" * 10, "glpat-a1B2c3D4e5F6g7H8i9J0", "xoxb-123456789012-abcdef", "xoxp-123456789012-abc",
    "xoxa-2-123456789012", "sk_live_a1B2c3D4e5F6", "AIza" + "a1B2_" * 7, "npm_" + "a1B2" * 9, "hvs.CAESI" + "a1B2" * 6,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_123", "ya29.a0AfH6SMB" + "a1B2" * 6, "sk-" + "a1B2" * 10,
    "https://hooks.slack.com/services/T00/B00/a1B2c3D4", "1234567890:" + "a1B2_" * 7, "dckr_pat_" + "a1B2" * 7,
]  # fmt: skip

HARMLESS_TEXTS = [
    "keyboard=us", "monkey=1", "author=bob", "authority=x", "bypass=1", "compass=north", "PASSWORD_FILE=/run/secrets/x",
    "tokenizer=fast", "max_tokens=4096", "token_ttl=3600", "TOKEN_URL=https://sso/token", "passwordPolicy: strict",
    "PWD=/home/bob", "OLDPWD=/", "AWS_ACCESS_KEY_ID=", "primary_key=id", "sort_key=name",
    "HandlePowerKey=poweroff", "public_key=abc",
    "cache_key=user:17", "key=value", '{"key": "Name", "value": "x"}', "ssl_key=/etc/tls/x.key", "--private-key=/k.pem",
    "Access denied for user 'root'@'localhost' (using password: YES)", "password=${DB_PASSWORD}", "password=",
    "password: '{{ vault_password }}'", "password=None", "Failed password for root from 10.0.0.1 port 22 ssh2",
    "Duplicate entry '1' for key 'PRIMARY'", "http://host:8080/a@b", "http://[::1]:8080/x@y", "git@github.com:org/repo",
    "basic authentication required", "Basic Authentication", "bearer token missing", 'Bearer realm="x"',
    "user@example.org",
    "com.acme.PasswordService: started", "io.jsonwebtoken.ExpiredJwtException: JWT expired", "proxy_pass=http://backend",
    "2026-01-02T03:04:05Z listening on 0.0.0.0:3306", "npm_config_registry_url=https://x", "glance-registry",
    "Token::new",
    "keyJournalConsumerThread", "a" * 64, "0123456789abcdef" * 4, "tool --no-password --host=db", "sshd: -p 22",
    '{"url":"http://host:8080","mail":"a@b"}', "secretName: db",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "resource identified by id", "ssh -p 22 bob@host", "nginx -p /prefix", "mysql -p shop", "mysql -P3306 -hpdb", "",
    "session=active", "auth=basic", "GET /x?page=2&monkey=1", "nginx: worker process",
    "postgres: bob shop [local] SELECT",
]  # fmt: skip

# What is wrong with a secret, as programs say it: the cause of the failure, and no value.
TOLD = [
    "open /etc/nginx/tls/server.key: Permission denied", "read /etc/app/orders.key: input/output error",
    'cannot load certificate key "/etc/nginx/tls/server.key": PEM_read_bio_PrivateKey() failed (SSL: error:1)',
    r"open C:\tls\client.key: Access is denied.", "vault renew failed, token: permission denied",
    "app.sh: line 3: DB_PASSWORD: unbound variable", "sh: X_TOKEN: parameter not set",
    "bash: DB_PASSWORD: parameter null or not set", "invalid_client: client_secret: expired on 2026-11-24",
    "JWT secret: missing", "password: must not be empty", "auth: failed", "config: api_key: field required",
    "spec.password: Required value", 'validation of "password": can\'t be blank', "API key: not valid, pass another.",
    "Error: secret: NotFound", "get secret: AccessDenied", "vault: token: lease expired", "cookie: too large",
    "Authorization: missing", "credentials: Unable to locate", "error loading credential: file /etc/x not found",
    "passwd: Authentication token manipulation error", "token: java.io.IOException: reset",
    "token: ENOENT: no such file", "token: <nil>",
    'fetching token: Post "https://sso/t": context deadline exceeded', "oauth2: cannot fetch token: 401 Unauthorized",
    "refresh token: dial tcp 10.0.0.1:443: connect: connection refused", "token: EOF", "accessToken: (not provided)",
    "parsing token: x509: certificate signed by unknown authority", "passwort: falsch", "contraseña: incorrecta",
    "secret: the server could not find the requested resource", "SyntaxError: Unexpected token: }",
    "error: --token must be set", "option --password requires an argument", "AUTH PLAIN rejected",
    "AUTH LOGIN failed for bob", "login bob password expired", "the password is wrong", "token was issued an hour ago",
]  # fmt: skip

# Numbers that are no payment card's, and codes that no identity provider gave.
NO_CARDS = [
    "order 4111111111111111 failed", "order_id=4111111111111111", '"traceId":"4111111111111111"', "#4111111111111111",
    "/orders/4111111111111111", "a4111111111111111", "0.4111111111111111", "4111111111111112", "1764014400123",
    "ts=1764014400123456", "5105105105105105100", "0000000000000000", "41111111-1111-4111-8111-111111111111",
    "pin=13 is low", "pin: A7", "pin=GPIO4", "shipping code=SAVE20xx", "GET /errors?code=E1042XZ9&page=2",
    "GET /authors?code=E1042XZ9", "GET /callback?code=404&state=x", "GET /login?code=access_denied", "cvc_check=pass",
    "state=a;retry=30 s;x=1",
]  # fmt: skip

HARMLESS_COMMANDS = [
    ["mysqld", "--port=3306"],
    ["app", "-p", "80"],
    ["ssh", "-p", "22", "bob@host"],
    ["ssh", "-p22", "host"],
    ["nginx", "-p", "/prefix"],
    ["app", "--tokenizer=fast"],
    ["app", "--key-file=/etc/x.key", "--token-file", "/t"],
    ["app", "--key=/etc/x.key", "--private-key", "/etc/x.key"],
    ["docker", "run", "-p", "80:80", "--user", "1000:1000", "nginx:1.25@sha256:abc"],
    ["mysql", "-p", "shop"],
    ["psql", "--no-password", "shop"],
    ["app", "login", "-p", "80"],
    ["mysql", "--password", "--host=db"],
    ["curl", "-o", "x", "https://host/path"],
    ["mysql", "shop", "|", "ssh", "-p22", "host"],
    ["setxkbmap", "keyboard=us", "monkey=1", "author=bob"],
]


def label(value: object) -> str:
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text[:60].encode("unicode_escape").decode()


@pytest.mark.parametrize(("text", "shown"), TEXTS, ids=label)
def test_secret_in_text_vanishes(text: str, shown: str | None) -> None:
    got = redact(text)
    assert "HUNTER2" not in got
    if shown is not None:
        assert got == shown


@pytest.mark.parametrize(("argv", "shown"), COMMANDS, ids=label)
def test_secret_on_a_command_line_vanishes(argv: list[str], shown: str) -> None:
    assert redact_command(argv) == shown


@pytest.mark.parametrize("token", TOKENS, ids=label)
def test_token_that_says_what_it_is_vanishes_anywhere(token: str) -> None:
    for text in (token, f"got {token}.", f'x "{token}", y', f"/path/{token}/x", f"a,{token};b"):
        assert token[-8:] not in redact(text)
        assert MASK in redact(text)
    assert token[-8:] not in redact_command(["app", token, "x"])


@pytest.mark.parametrize("text", HARMLESS_TEXTS, ids=label)
def test_harmless_text_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("text", TOLD, ids=label)
def test_what_is_wrong_with_a_secret_stays(text: str) -> None:
    assert redact(text) == text
    assert redact(f"2026-11-24 20:00:00 ERROR [main] {text}\nnext") == f"2026-11-24 20:00:00 ERROR [main] {text}\nnext"


@pytest.mark.parametrize("text", NO_CARDS, ids=label)
def test_number_that_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(("text", "shown"), CARDS, ids=label)
def test_secret_told_by_what_it_looks_like_vanishes_and_words_of_errors_stay(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize("argv", HARMLESS_COMMANDS, ids=label)
def test_harmless_command_line_stays(argv: list[str]) -> None:
    assert redact_command(argv).replace("'", "") == " ".join(argv)


def test_a_key_is_hidden_line_by_line_as_a_log_is_read() -> None:
    line = "MIIEpAIBAAKCAQEAy8Dbv8prpJ/0kKhlGeJYozo2t60EG8L0561g13R29LvMR5hy"
    assert redact(line) == MASK


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["a b", "c'd", ""], r"'a b' 'c'\''d'"),
        (["nginx: worker process", "", ""], "nginx: worker process"),
        (["a", "", "b"], "a '' b"),
        (["a\nb", "\x1b[2J"], r"'a\nb' '\x1b[2J'"),
        (["caf\udce9"], r"caf\udce9"),
        (["größe", "日本"], "größe 日本"),
        ([], ""),
        (["", ""], ""),
    ],
    ids=label,
)
def test_command_line_is_one_printable_line(argv: list[str], shown: str) -> None:
    assert redact_command(argv) == shown
    assert redact_command(argv).isprintable()


@pytest.mark.parametrize(
    ("setting", "secret"),
    [("password", True), ("db.password", True), ("apiToken", True), ("Authorization", True), ("keys", True),
     ("key", False), ("service", False), ("password_file", False), ("warning", False)],
)  # fmt: skip
def test_name_of_a_secret(setting: str, secret: bool) -> None:
    assert is_secret(setting) is secret


def planted(rng: random.Random) -> str:
    """A password as people and generators make them; the signs in it are those no shape below gives a meaning."""
    signs = rng.choice((string.ascii_letters + string.digits, string.ascii_letters + string.digits + "!#$%^*+_~-./"))
    return "q7" + "".join(rng.choice(signs) for _ in range(rng.randint(8, 30))) + "Z9"


NAMES = ["password", "DB_PASSWORD", "dbPassword", "passwd", "secret", "client_secret", "api_key", "apiKey", "API-KEY",
         "access_token", "token", "authToken", "passphrase", "spring.datasource.password", "SECRET_KEY",
         "credential"]  # fmt: skip
PROSE = ["", "ERROR ", "Jan  5 03:04:05 h app[1]: ", "user=bob, ", "can't connect: ", '{"a": "b", ', "\t", "x; "]
AFTER = ["", ", user=bob", " and more", "\nnext line", '", "b": 1}', ")", ";", " # it's", "\x1b[0m x"]
SHAPES: list[Callable[[random.Random, str], str]] = [
    lambda r, s: f"{r.choice(NAMES)}={s}",
    lambda r, s: f"{r.choice(NAMES)}: {s}",
    lambda r, s: f'"{r.choice(NAMES)}": "{s}"',
    lambda r, s: f"'{r.choice(NAMES)}' => '{s}'",
    lambda r, s: f'\\"{r.choice(NAMES)}\\":\\"{s}\\"',
    lambda r, s: f"--{r.choice(NAMES)} {s}",
    lambda r, s: f"--{r.choice(NAMES)}='{s}'",
    lambda r, s: f"-D{r.choice(NAMES)}={s}",
    lambda r, s: f"{r.choice(['mysql', '/usr/bin/mysqldump', 'mariadb-admin'])} -u root -p{s}",
    lambda r, s: f"sshpass -p {s} ssh -p 22 h",
    lambda r, s: f"redis-cli -a {s} ping",
    lambda r, s: f"curl -su bob:{s} https://x",
    lambda r, s: f"Authorization: {r.choice(['Bearer', 'Basic', 'token'])} {s}",
    lambda r, s: f"X-Api-Key: {s}",
    lambda r, s: f"Cookie: a=b; c={s}",
    lambda r, s: f"{r.choice(['mysql', 'redis', 'postgresql'])}://bob:{s}@db/x",
    lambda r, s: f"bob:{s}@tcp(db:3306)/x",
    lambda r, s: f"/x?a=b&{r.choice(['token', 'sig', 'key', 'secret'])}={s}",
    lambda r, s: f"ALTER USER a IDENTIFIED BY '{s}'",
    lambda r, s: f"SELECT PASSWORD('{s}')",
    lambda r, s: f"<{r.choice(NAMES)}>{s}</x>",
    lambda r, s: f"- name: {r.choice(NAMES)}\n  value: {s}",
    lambda r, s: f"-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----",
]


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_no_planted_secret_survives_in_any_surroundings(shape: int) -> None:
    rng = random.Random(20261123 + shape)
    for _ in range(300):
        secret = planted(rng)
        text = rng.choice(PROSE) + SHAPES[shape](rng, secret) + rng.choice(AFTER)
        shown = redact(text)
        assert secret[:-2] not in shown, (text, shown)
        assert redact(shown) == shown, "what is redacted stays as it is"


def test_no_planted_secret_survives_on_a_command_line() -> None:
    rng = random.Random(20261124)
    signs = string.ascii_letters + string.digits + string.punctuation + " \t\n\0é\udc80"
    for _ in range(3000):
        secret = "q7" + "".join(rng.choice(signs) for _ in range(rng.randint(6, 30))) + "Z9"
        one_line = secret.replace("\n", "").replace("\0", "")
        key = rng.choice(NAMES)
        argv = rng.choice((
            [f"--{key}={secret}"], [f"--{key}", secret], [f"-D{key}={secret}"], [f"{key}={secret}"],
            ["mysql", "-uroot", f"-p{secret}"], ["sshpass", "-p", secret, "ssh"], ["redis-cli", "-a", secret],
            ["curl", "-u", f"bob:{secret}"], ["sh", "-c", f"app --{key}={shlex.quote(one_line)} x"],
        ))  # fmt: skip
        shown = redact_command(["app", "x y", *argv, "--port=3306"])
        assert "q7" not in shown, (argv, shown)
        assert "Z9" not in shown, (argv, shown)
        assert shown.isprintable()
        assert shown.endswith(" --port=3306")


def test_what_spares_the_patterns_is_what_they_would_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(11)
    pieces = [
        *"=:-_./,+%aZ09", "--", "-D", "password", "credential", "token", "key", "api", "port", "user", "3306", "auth",
        "sk_live_", "ghp_", "eyJ", "AKIA", "glpat-", "/etc/x.key", "secret", "1234567890:", "hunter2", "mysql", "-p",
        "A1b2C3d4E5f6G7h8", "bearer", "4111111111111111", "%3D", "%3F", "pin", "cvv", "passwort", "missing", "code",
    ]  # fmt: skip
    spared = 0
    words = ["".join(rng.choice(pieces) for _ in range(rng.randint(1, 7))) for _ in range(20_000)]
    harmless = [word for word in words if _harmless(word)]
    monkeypatch.setattr("rbdiag.redact._harmless", lambda text: False)
    for word in harmless:
        spared += 1
        assert _redact(word) == word
        assert _argument(word, False) == word
    assert spared > 2_000


def test_any_string_at_all_is_taken() -> None:
    rng = random.Random(20261125)
    signs = "\0\n\r\t \x1b\udc80\ud800é日" + string.printable + "\"'\\=:@-/[{(<" * 5
    for _ in range(3000):
        text = "".join(rng.choice(signs) for _ in range(rng.randint(0, 60)))
        assert isinstance(redact(text), str)
        assert redact_command([text, text]).isprintable()


PATHOLOGICAL = [
    "a", "=", ":", "://", "-", "--", "'", '"', "\\", "password", "password=", "password='", 'password=\\"', "eyJ", "a:",
    "://u:", "<a ", "<a>", "[", "password=[", "-----BEGIN A-----", "identified by ", "bearer ", "name: password ", " ",
    "\n", "mysql -p", "mysql '", "@tcp(", "a.b-", "password : ", "sk-", "set password for ", 'a="', "\0",
    "password=|\n ",
    "password = a,", "xY1", "--key=/", "key=[", "key='", "auth=a,", "token: missing ",
    "token: missing a1b2c3d4e5f6g7h8 ", "token: file ", "a.key: ", "/a.key: ", ";pwd=a b", "a=1;pwd=", "4111 ", "4",
    "4111-1111-1111-1111 ", "auth plain abcd", "?code=abcdefg", "&code=1&state=", "sqlplus a/b",
    "jdbc:oracle:thin:a/", "password is ", "secret for a is ", "pin=1 ", "token: is_", "a=;", "{token: ",
]  # fmt: skip


@pytest.mark.timeout(30)  # no measurement: at this length one quadratic pattern takes minutes
@pytest.mark.parametrize("unit", PATHOLOGICAL, ids=label)
def test_no_text_makes_the_work_explode(unit: str) -> None:
    text = unit * (131_072 // len(unit)) + " password=HUNTER2"
    assert "HUNTER2" not in redact(text)
    assert "HUNTER2" not in redact_command(["mysql", text, "-p" + text])


def test_importing_compiles_no_pattern() -> None:
    code = "import re, typing; re.compile = re._compile = None; import rbdiag.redact as r; print(r.MASK)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert (done.stdout, done.stderr) == ("***\n", "")


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("SELECT * FROM orders WHERE id = 42", "SELECT * FROM orders WHERE id = 42"),
        (
            "INSERT INTO cards VALUES ('4111', \"Ann O'Hara\", 4111111111111111)",
            "INSERT INTO cards VALUES (?, ?, ?)",
        ),
        ("SELECT aes_decrypt(s, 'it''s a key') FROM t", "SELECT aes_decrypt(s, ?) FROM t"),
        (r"UPDATE t SET a = 'it\'s', b = 0xDEADBEEF", "UPDATE t SET a = ?, b = ?"),
        ("SELECT `col` FROM t WHERE note = 'cut off in the mid", "SELECT `col` FROM t WHERE note = ?"),
        ("ALTER USER app IDENTIFIED BY 'secret'", "ALTER USER app IDENTIFIED BY ?"),
    ],
    ids=[
        "short numbers stay",
        "texts and long numbers",
        "a doubled quote",
        "an escaped quote",
        "cut off",
        "a password",
    ],
)
def test_a_statement_is_shown_without_its_values(statement: str, shown: str) -> None:
    assert redact_statement(statement) == shown
