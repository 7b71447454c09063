"""What must never be printed, saved or sent: passwords, tokens and keys become `***`.

Where a secret cannot be told from its neighbours, too much is hidden rather than too little. What helps a person
stays: user names, hosts, paths to secret files, the kind of a token. Every pattern is linear: a run of characters
is entered only at its beginning and given back by nobody (possessive quantifiers), or it has a fixed upper length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

MASK = "***"

# What a name says about its value: a secret; a key that may also be a path to one; several, or how many of them;
# a header that takes the rest of its line; a word that means a secret only if the value looks like one; a word that
# means one only before a few digits; nothing.
_Kind = Literal["secret", "file", "plural", "header", "weak", "pin", ""]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRET_WORDS = _words(
    "password passwd passphrase passcode pass pwd pw psk otp secret credential cred creds token bearer apikey "
    "requirepass masterauth masterpass storepass keypass passin passout dbpass userpass setcookie sessionid "
    "phpsessid jsessionid cookie authorization passe senha contrasena wachtwoord haslo"
)
_SECRET_ENDINGS = (
    "password", "passwd", "passphrase", "secret", "token", "userpwd", "apikey", "secretkey", "accesskey",
    "privatekey", "authkey", "sharedkey", "masterkey", "licensekey", "accountkey", "signingkey", "encryptionkey",
    "passwort", "kennwort", "motdepasse",
)  # fmt: skip
# Words for a password whose letters are not those of names elsewhere.
_FOREIGN = ("contraseña", "lösenord", "hasło", "пароль", "密码", "密碼", "パスワード")
_HEADERS = frozenset(("authorization", "cookie"))
_PLURALS = frozenset(("passwords", "secrets", "tokens", "keys", "credentials"))
# Secret only if the value looks random, or in the query of a URL.
_WEAK_WORDS = _words("key auth sig signature session sid")
# Names such as token_ttl speak about a secret and do not hold it.
_ABOUT = _words(
    "file files filename path dir directory folder name type kind url uri endpoint host port user username owner "
    "length len size count max min limit budget policy age expiry expires expire expiration ttl lifetime timeout "
    "interval rotation duration enabled disabled required optional allowed algorithm alg format encoding header field "
    "param column table index env var helper manager provider store backend source mode method scheme class "
    "authentication plugin validator validation hint prompt stdin fd command cmd program reset change changed version "
    "usage domain secure samesite error errors failure failures invalid expired status bucket ref selector mount "
    "volume scope scopes audience issuer rate total used service controller filter handler factory exception util "
    "utils config interceptor encoder converter repository impl job task test"
)
_WITHOUT = _words("no ask prompt skip without")
_PASSES_ON = _words("proxy fastcgi uwsgi scgi grpc memcached by")  # proxy_pass and its like
_FILE_KEYS = _words("private client server tls ssl ssh host cert certificate ca")
_NO_SECRET_KEYS = _words(
    "primary foreign sort partition cache routing unique row range index column object group message event lookup "
    "search composite shard order config property metric label lock redis s3 topic record field hash map power reboot "
    "suspend hibernate"
)
_CONSTANTS = _words("true false yes no none null nil on off required")

# After `name: ` in a message: words that say what is wrong with the secret, and are not it.
_STATES = _words(
    "permission denied missing expired expires required requires requirement unbound undefined must not no too unable "
    "cannot could couldn invalid failed fails fail failure failing error errors empty unset set null none nil ok "
    "rejected wrong is isn was wasn are aren has hasn have does doesn did didn should shouldn incorrect mismatch "
    "mismatched mismatches rotated changed parameter unauthorized unauthenticated forbidden unknown unexpected "
    "expected unsupported unrecognized unreadable unavailable unreachable unspecified malformed corrupt corrupted "
    "revoked disabled locked blocked bad illegal refused timeout timed exceeded exhausted exception fatal warning "
    "deprecated found absent present such already never neither only exit exited killed terminated aborted "
    "canceled cancelled closed reset eof enoent eacces eperm etimedout econnrefused econnreset enotfound dial "
    "verified unverified loaded reloaded skipped ignored insufficient inaccessible conflict non "
    "falsch ungültig fehlt fehlgeschlagen abgelaufen incorrecto incorrecta incorrecte incorreto incorreta "
    "inválido inválida invalide obligatoire obligatorio"
)
# Words that begin such a message, and say so only together with one of those.
_SUBJECTS = _words(
    "access account argument attempt auth authentication authenticating authorization authorisation backend call "
    "certificate challenge character characters check checksum claim client code config configuration connect "
    "connection context credentials data decode decoding decrypt decryption digest dns encoding encryption "
    "env environment environmental exec executable field file format get grant header host http https internal issuer "
    "io it key keyring lease length load login lookup metadata network object oauth open operation option parse "
    "parsing path policy post provider proxy put read reading refresh renewal request resource response rpc server "
    "service session signature size ssl status stat string syntax system tcp the this tls ttl type upstream user "
    "validation value "
    "variable vault verification version write"
)
# Of what a long number is one, if it is no payment card.
_NUMBERED = _words(
    "id ids uid gid oid xid tid pid guid uuid lsn gtid scn seq sequence offset position pos ts time timestamp epoch "
    "nanos nanoseconds micros microseconds ms us ns bytes size count total version revision generation inode serial "
    "order orders request transaction txn tx trace span user customer item row block height nonce hash checksum crc "
    "etag partition cursor job task batch shipment tracking parcel invoice ticket orderid userid "
    "requestid traceid spanid imei iccid ean isbn"
)

# Short options that carry a secret, by program: joined to it (-pX), or as the next argument (-p X).
_MYSQL = _words(
    "mysql mariadb mysqldump mariadb-dump mysqladmin mariadb-admin mysqlcheck mariadb-check mysqlimport "
    "mariadb-import mysqlslap mariadb-slap mysqlshow mariadb-show mysqlpump mysqlbinlog mariadb-binlog mysqlsh "
    "mytop innotop xtrabackup mariabackup mariadb-backup innobackupex"
)
_MONGO = _words("mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop")
_LDAP = _words("ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami ldappasswd")
_LOGINS = _words("docker podman buildah skopeo nerdctl helm oras crane az oc")  # -p means that only in login
_NEXT: dict[str, str] = {
    **dict.fromkeys(_MONGO, "p"), **dict.fromkeys(_LDAP, "w"), "sshpass": "p", "redis-cli": "a", "login": "p",
    "curl": "uUbE", "http": "a", "smbclient": "U", "lftp": "u", "sqlcmd": "P", "bcp": "P", "zip": "P", "unzip": "P",
    "pt-query-digest": "p", "pt-archiver": "p", "pt-kill": "p", "ipmitool": "P", "snmpget": "AXc",
    "snmpwalk": "AXc",
}  # fmt: skip
_JOINED: dict[str, str] = {**_NEXT, **dict.fromkeys(_MYSQL, "p"), "7z": "p", "7za": "p", "rar": "p", "unrar": "p"}
# Options without a value that may stand before them in one word, as in `curl -sku user:password`.
_BEFORE = {**dict.fromkeys(_MYSQL, "ABCEGHINQRVXcdfijlnoqstvxy"), "curl": "0123456#GIJLNORSZafgijklnqsvp"}
_CURL_LONG = {"--user": "u", "--proxy-user": "U", "--cookie": "b", "--cert": "E", "--proxy-cert": "E"}
# What sshpass and its like start: from there on the options mean something else.
_STARTED = _words("ssh scp sftp rsync ssh-copy-id nginx")
_PROGRAMS = (frozenset(_JOINED) | _LOGINS | _STARTED) - {"login"}
# Of these values only what follows the sign is secret.
_USER_AND = {
    ("curl", "u"): ":", ("curl", "U"): ":", ("curl", "E"): ":", ("curl", "b"): "=", ("http", "a"): ":",
    ("smbclient", "U"): "%", ("lftp", "u"): ",",
}  # fmt: skip

# A name, then a sign of assignment; after an option blanks are enough. %3D is `=` in a URL inside a URL.
_ASSIGNMENT = r"""(?mx)
    (?: (?P<line>^[ \t]*+(?:-[ \t]++|export[ \t]++)?+["']?+) | (?<![\w.-]) )
    (?P<option>-D(?=\w)|--?(?=\w))? (?P<key>[\w.-]++) (?P<close>\\*+["']{1,2})?+
    (?: [ \t\0]*+ (?P<sign>=>|->|:=|={1,3}|:(?!:)|%3[dD]) (?P<gap>[ \t\0]*+) | (?(option)[ \t\0]++|(?!)) )"""
# {"name": "DB_PASSWORD", "value": "..."}, on one line or two, in JSON, YAML or XML.
_NAME_AND_VALUE = r"""(?xi)
    (?<![\w.-]) (?:name|key) \\*["']? [ \t]*+ [:=] [ \t]*+ \\*["']?+ (?P<key>[\w.-]++) \\*["']?+
    [\s,]*+ \\*["']? value \\*["']? [ \t]*+ [:=] [ \t]*+"""
# Words that only ever stand before a secret.
_STATEMENT = r"""(?xi)
    \b identified \s++ (?:with \s++ \S++ \s++)?+ (?:by|as) \s++ (?:password \s++)?+ (?=\\*["'])
  | \b (?:old_)? password \s*+ \(? \s*+ (?=\\*["'][^\s,;:)\]}])
  | \b set \s++ password \s++ (?:for \s++ [^\s=]++ \s*+)?+ = \s*+ (?=\\*["'])
  | \b login \s++ \S++ \s++ password \s++
  | (?<![\w.]) (?:requirepass|masterauth) [ \t]++"""
# `the password is "correct horse"`; without quotes only what has letters and digits.
_TOLD = r"""(?xi)
    (?:pass(?:word|wd|phrase|code|wort)|kennwort|secret|(?:api|access)[ _-]?key|token)
    (?:[ \t]++for[ \t]++(?:user[ \t]++|key[ \t]++)?+[^\s=]++)?+
    [ ]{1,8}(?:is|was|ist|war):?[ ]{1,8}
    (?= \\*["'][^\s,;:)\]}] | (?=[^\s"'/]{0,40}[0-9]) (?=[^\s"'/]{0,40}[A-Za-z]) [^\s"'/]{8} )"""
_TOLD_NAMES, _TOLD_VERBS = ("pass", "kennwort", "secret", "token", "key"), (" is", " was", " ist", " war")
_XML = r"<([\w:.-]++)(?:\s[^<>]*+)?>([^<]++)(?=<)"

_SCHEME = r"(?:bearer|basic|digest|token|negotiate|apikey|aws4-hmac-sha256)[ \t\0]++"
_OPEN = r"""[bBuUrRfF]{0,2}(?P<quote>\\++["']|\"\"\"|'''|\"\"(?=[^\s,;:)\]}"'&])|["'])"""
# Between single quotes SQL writes '' for one, a shell '\'' or '"'"'; a backslash before these may be a plain one.
_BODY = {'"': r'(?:\\.|[^"\\\n])*+', "'": r"""(?:\\?'\\''|\\?'"'"'|''|\\.|[^'\\\n])*+"""}
_BLOCK = r"[|>][-+0-9]{0,2}[ \t]*+\n(?:[ \t]++[^\n]*+(?:\n|\Z))++"
# Where a value without quotes ends although no blank follows: at the quote around it and its name, or at the next
# pair. After an option there is no next pair, only a comma in the value.
_CUT = r"""["'](?=[\s\0,;:)}\]]|\Z)|\\+["']|</|\\u0026"""
_CUT_OR_PAIR = _CUT + r"""|[,;&](?=["']|[A-Za-z][\w.-]{0,63}(?:=|:[ \t]))"""
_BARE = rf"(?:(?i:{_SCHEME}))?+(?:(?!{_CUT})[^\s\0])*+"
_BARE_OR_PAIR = rf"(?:(?i:{_SCHEME}))?+(?:(?!{_CUT_OR_PAIR})[^\s\0])*+"
_NEXT_PAIR = r"[,;&][ \t]{0,8}[\w.-]{1,64}[ \t]{0,8}[=:]|[ \t]{1,8}[\w.-]{1,64}="
# A connection string has its values up to a semicolon, blanks and all; what follows it tells whether this is one.
_IN_STRING = r"""(?m)[^;"'=\n\0]{1,128}+(?=;(?:[ ]?[A-Za-z][\w ]{0,30}=|[ ]?["'\\]|[ \t]*$))"""
_FIRST_IN_STRING = r"""[^;"'=\n\0]{1,128}+(?=;[A-Za-z][\w ]{0,30}=)"""
# The first word of a message, and a run of signs in one that no message has.
_SAYS = r"""[(<]?(?:[^\W\d_]+(?:[-'.][^\W\d_]+)*+|[45][0-9]{2}(?=[ ])|x509(?=:))(?=[\s,;:.!?)>"'\\]|\Z)"""
_RUN = r"(?<![\w/.:-])(?=[A-Za-z+_]{0,64}[0-9])(?=[0-9+_]{0,64}[A-Za-z])[A-Za-z0-9+_]{16,}={0,2}(?![\w/.-])"
_KEY_FILES = (".key", ".pem", ".p12", ".pfx", ".jks", ".keystore", ".crt")
_CLOSERS = ")]}>,;.\"'&"

_PEM = r"(?s)-----BEGIN ([A-Z0-9 ]{1,64})-----(.*?)(?=-----(?:BEGIN|END) |\Z)"
_PUBLIC = ("CERTIFICATE", "PUBLIC KEY", "X509 CRL", "PARAMETERS")
# A line from the middle of a PEM block, seen alone because logs are read line by line.
_PEM_LINE = r"(?m)^[ \t]*([A-Za-z0-9+/]{60,76}={0,2})[ \t]*$"
# scheme://user:password@host. A raw slash or quote in the password is wrong but common; host:port/x@y is not meant.
_USER_INFO = r"""(://[^\s/:@"'\[<>]*+:)(?!\d{1,5}(?:[/?#\s"',;)\\]|\Z))(?:(?!://)[^\s\0])+@"""
_LONE_USER = r"(://)(?=[^\s/@]{0,200}\d)[\w.-]{20,200}(?=@)"
# Oracle's user/password@host, behind the driver's name or that of a program.
_ORACLE = r"""(?xi)
    ( (?: jdbc:oracle:\w{1,16}: | \b(?:sqlplus|sqlldr|expdp|impdp)[ ](?:-\w{1,8}[ ]){0,4}["']? ) [^\s/@:"']{1,128}/ )
    (?:"[^"\s]{1,128}"|[^\s@"]{1,128}) (?=@)"""
# What a client sends to log in to a mail server.
_SASL = r"""(?xi) (?<![\w-])
    (AUTH(?:ENTICATE)?[ \t]++ (?:PLAIN|LOGIN|CRAM-MD5|DIGEST-MD5|XOAUTH2|OAUTHBEARER)[ \t]++)
    ([A-Za-z0-9+/]{8,}+={0,2}) (?![^\s"',;.)\\])"""
_BARE_USER_INFO = r"([^\s:/@]+:)[^\s@/]+(@(?!sha\d)[\w.-]+(?::\d+)?(?:/[^@]*)?)"
_WORD = r"""\n|(?:[^\s"'=]*+=|-[A-Za-z]+(?=["']))?+(?:"(?:\\.|[^"\\\n])*+"|'[^'\n]*+')\S*+|\S++"""
_BEARER = r"(?i)(?<![\w-])((bearer|basic)[ \t]++)([\w.~+/-]++=*+)"
_BEARER_TALK = _words("auth authentication authorization token tokens realm scheme error is was and or not")
# What an identity provider hands over, in a URL or a form that tells so.
_CODE = r"""(?i)((?:[?&]|%3F|%26)code(?:=|%3D))([^\s&"'#<>%;]{6,}+)"""
_OAUTH = (
    r"(?i)(?<![a-z])(?:o?auth(?!or(?!i))|callback|cb\b|redirect|sign-?in|login|sso\b|oidc)|authorization_code"
    r"|[?&](?:session_)?state[=&]"
)
# As one number, or in the groups printed on a card.
_CARD = r"""(?x) [0-9] (?<![\w.#/-].)
    (?: [0-9]{12,18} | [0-9]{3}([ -])(?:[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?|[0-9]{6}\1[0-9]{4,5}) )
    (?![\w-]|\.[0-9])"""
# Visa, Mastercard, American Express, Diners Club, JCB, Discover, UnionPay, Maestro, Mir: as their numbers begin.
_ISSUED = r"""(?x)
    4[0-9]{12}(?:[0-9]{3}){0,2}
  | (?:5[1-5][0-9]{2} | 222[1-9] | 22[3-9][0-9] | 2[3-6][0-9]{2} | 27[01][0-9] | 2720)[0-9]{12}
  | 3[47][0-9]{13} | 3(?:0[0-5]|[689][0-9])[0-9]{11} | 35(?:2[89]|[3-8][0-9])[0-9]{12}
  | (?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2}) [0-9]{12}(?:[0-9]{3})?
  | (?:5018|5020|5038|5[67][0-9]{2}|58[0-9]{2}|6304|6759|676[1-3]|220[0-4])[0-9]{12}"""
_LABEL = r"""([A-Za-z][\w.-]{0,40})["'\\]{0,4}[ \t]{0,2}[:=]?[ \t]{0,2}["'\\(\[]{0,4}\Z"""
# Tokens that say themselves what they are. The first group stays.
_SHAPES = r"""(?x)
    (?<![A-Za-z0-9]) (?:
        ((?:AKIA|ASIA)) [A-Z0-9]{16}
      | (gh[pousr]_|npm_|dckr_pat_|hf_|glsa_|dop_v1_|shpat_|whsec_|lin_api_) [A-Za-z0-9]{20,}
      | (github_pat_) \w{20,}
      | ([srp]k_(?:live|test)_) \w{8,}
      | (xox[a-z]-|xapp-\d|sq0[a-z]{3}-|NRAK-|AGE-SECRET-KEY-1|pypi-AgE) [\w-]{8,}
      | (gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt|oas)-|sk-ant-|sk-proj-) [\w-]{16,}
      | (sk-) [A-Za-z0-9]{20,}
      | (AIza) [\w-]{30,}
      | (ya29\.|hv[sbr]\.|SG\.|atlasv1\.) [\w.-]{16,}
      | (eyJ) [\w+/=-]{12,} (?:\.[\w+/=-]*+)*+
      | (\d{8,10}:) [\w-]{35}
      | (hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/) [^\s"'<>]+
    )"""


# What every shape above begins with, and the length of the shortest.
_SHAPE_STARTS = tuple(
    """
    AKIA ASIA ghp_ gho_ ghu_ ghs_ ghr_ npm_ dckr_pat_ hf_ glsa_ dop_v1_ shpat_ whsec_ lin_api_ github_pat_ sk_live_
    sk_test_ rk_live_ rk_test_ pk_live_ pk_test_ xox xapp- sq0 NRAK- AGE-SECRET-KEY-1 pypi-AgE gl sk- AIza ya29. hvs.
    hvb. hvr. SG. atlasv1. eyJ hooks.slack.com discord
    """.split()
)
_SHORTEST_SHAPE = 13
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,+%")


def _says_secret(name: str) -> bool:
    return bool(_kind(name.lstrip("-"), option=name.startswith("-")))


def _harmless(text: str) -> bool:
    """Whether a short text of one plain word, or `--name=word`, can hold no secret: most arguments are such.

    Only a way to spare the patterns, whose compiling costs more than all the rest; what it lets pass, they would too.
    """
    if len(text) >= 60 or "%3" in text:  # a URL may be inside another
        return False
    name, equals, word = text.partition("=")
    if not equals:
        name, word = "", text
    elif name.startswith("-D") or not _PLAIN.issuperset(name) or _says_secret(name):
        return False
    number, colon, rest = word.partition(":")
    if colon and not any(c.isalpha() for c in number) and len(word) < 40:  # an address or a time, no `name:value`
        word = number + rest
    if not _PLAIN.issuperset(word):
        return False
    if len(text) < _SHORTEST_SHAPE:
        return True
    return sum(c.isdigit() for c in text) < 13 and not any(start in text for start in _SHAPE_STARTS)


def redact(text: str) -> str:
    """The same text, be it a log line, a URL or a whole file, with every secret in it replaced by `***`."""
    if _harmless(text):
        return text
    return _redact(text)


# What a statement is about stands in quotes, in long numbers and in hexadecimal; a text cut off ends its statement.
_LITERAL = r"""(?xs) '(?:[^'\\]|\\.|'')*+(?:'|\Z) | "(?:[^"\\]|\\.|"")*+(?:"|\Z) | \b0x[0-9A-Fa-f]{2,}+ | \b[0-9]{7,}+\b
    | (?<![/*])\*{3}(?![/*])"""


def redact_statement(sql: str) -> str:
    """The same statement without the values in it: what they are is the business of those whom they are about.

    Names, keywords and short numbers stay, as in the digest of a slow log.
    """
    return re.sub(_LITERAL, "?", redact(sql))


def _redact(text: str) -> str:
    """Every pattern in turn; each is spared (and not even compiled) where a text lacks what it cannot do without."""
    if "-----BEGIN" in text:
        text = re.sub(_PEM, lambda m: m[0] if m[1].endswith(_PUBLIC) else f"-----BEGIN {m[1]}-----{MASK}", text)
    if len(text) >= 60:
        text = re.sub(_PEM_LINE, lambda m: MASK if _mixed(m[1]) else m[0], text)
    if "://" in text and "@" in text:
        text = re.sub(_USER_INFO, rf"\1{MASK}@", text)
        text = re.sub(_LONE_USER, rf"\1{MASK}", text)
    if "@tcp(" in text or "@unix(" in text:
        text = re.sub(r"\S+", lambda m: _go_dsn(m[0]), text)
    lower = text.lower()
    if "bearer" in lower or "basic" in lower:
        text = re.sub(_BEARER, _bearer, text)
    if any(name in text for name in _PROGRAMS):
        text = re.sub(_WORD, _Walk().text, text)
    if "oracle:" in lower or any(program in lower for program in ("sqlplus", "sqlldr", "expdp", "impdp")):
        text = re.sub(_ORACLE, rf"\1{MASK}", text)
    if "auth" in lower:
        text = re.sub(_SASL, _sasl, text)
    if "code=" in lower or "code%3d" in lower:
        text = re.sub(_CODE, _code, text)
    text = _sweep(_ASSIGNMENT, text)
    if any(word in lower for word in _TOLD_NAMES) and any(verb in lower for verb in _TOLD_VERBS):
        text = _sweep(_TOLD, text)
    if "value" in lower:
        text = _sweep(_NAME_AND_VALUE, text)
    if any(word in lower for word in ("identified", "password", "requirepass", "masterauth")):
        text = _sweep(_STATEMENT, text)
    if "<" in text:
        text = re.sub(_XML, _xml, text)
    if ":" in text or any(start in text for start in _SHAPE_STARTS):
        text = re.sub(_SHAPES, lambda m: (m[m.lastindex] if m.lastindex else "") + MASK, text)
    return re.sub(_CARD, _card, text)


def redact_command(argv: Sequence[str]) -> str:
    """A process's arguments as one printable line, quoted where a shell would need it, without its secrets.

    A process that rewrote its title (`nginx: worker process`) has one argument with blanks in it; that is shown
    as it is.
    """
    words = list(argv)
    while words and not words[-1]:  # what is left where a longer command line was overwritten
        words.pop()
    if len(words) == 1:
        return _printable(redact(words[0]))
    walk = _Walk()
    shown: list[str] = []
    hide: _Kind = ""
    script = False
    for word in words:
        if hide and not _stays(hide, word) and not re.match(r"--[A-Za-z]|-[A-Za-z]\Z", word):
            shown.append(MASK)
            hide = ""
            continue
        masked = walk.word(word)
        shown.append(_quoted(masked if masked != word else _argument(word, script)))
        lone = re.fullmatch(r"--?([A-Za-z][\w.-]+)", word) if masked == word else None
        hide = _kind(lone[1][-160:], option=True) if lone else ""
        script = bool(re.fullmatch(r"-[a-z]{0,4}c", word))
    return _printable(" ".join(shown))


def is_secret(name: str) -> bool:
    """Whether the value of a setting, variable or option of this name is to be hidden."""
    return _kind(name) not in ("", "weak")


@lru_cache(maxsize=2048)  # the same names come again in every line of a log
def _kind(name: str, *, option: bool = False, query: bool = False) -> _Kind:
    """What a name says about its value; `option` and `query` tell where the name stands."""
    if name in ("PWD", "OLDPWD"):  # the shell's directories; in a connection string the same word is a password
        return "file"
    if not name.isascii() and name.lower().endswith(_FOREIGN):
        return "secret"
    words = _parts(name[-128:])
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    if not words or words[0] in _WITHOUT or words[-1] in _ABOUT:
        return ""
    before, last = words[-2] if len(words) > 1 else "", words[-1]
    if last in _HEADERS:
        return "header"
    if any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in words):
        return "" if last == "pass" and before in _PASSES_ON else "secret"
    if last in _PLURALS:
        return "plural"
    if last == "key" and before:
        if before == "public":
            return ""
        return "file" if before in _FILE_KEYS else "weak" if before in _NO_SECRET_KEYS else "secret"
    if "api key" in " ".join(words) and last != "id":
        return "secret"
    if last in ("cvv", "cvc", "csc"):  # the code on the back of a payment card; cvc_check only tells whether it fits
        return "secret"
    if last in ("pin", "puk") or (before, last) in (("pin", "code"), ("pin", "number")):
        return "pin"
    if last in _WEAK_WORDS or (before, last) == ("session", "id"):
        return "secret" if query else "file" if option and last == "key" else "weak"
    return ""


def _stays(kind: _Kind, value: str) -> bool:
    """Whether this value may be shown although its name is one of a secret: it holds none, or is hidden already."""
    bare = value.strip("\"'")
    if not bare.strip("*") or bare.lower() in _CONSTANTS or re.fullmatch(r"\$\{\w+\}|\{\{[^{}]*\}\}", bare):
        return True
    if kind == "file":
        return bool(re.match(r"[.~]{0,2}/", bare)) or bare.endswith((".pem", ".key", ".crt", ".p12", ".pub"))
    if kind == "plural":
        return bare.isdigit()
    if kind == "pin":  # others number the pins of a chip
        return not re.match(r"[0-9]{4,12}(?!\w)", bare)
    return kind == "weak" and not any(_random(run) for run in re.findall(r"[A-Za-z0-9+=]{16,}", bare))


def _random(run: str) -> bool:
    return any(c.isdigit() for c in run) and any(c.isalpha() for c in run)


def _mixed(run: str) -> bool:
    return any(c.isdigit() for c in run) and any(c.islower() for c in run) and any(c.isupper() for c in run)


def _sweep(pattern: str, text: str) -> str:
    """Hide what stands behind each match, where the name in the match (if it has one) is that of a secret."""
    find = re.compile(pattern)
    parts: list[str] = []
    done = at = 0
    while match := find.search(text, at):
        at = match.end()
        name = match.groupdict()
        kind: _Kind = "secret"
        if key := name.get("key"):
            query = text[match.start("key") - 1 : match.start("key")] in ("?", "&")
            kind = _kind(key[-160:], option=bool(name.get("option")), query=query)
        # What stays whatever follows is told from its first characters: to look for its end each time is quadratic.
        if not kind or (kind in ("file", "weak", "pin") and _stays(kind, _head(text, at))):
            continue
        if _names_file(text, match):
            continue
        if said := _said(text, match):
            # Nothing of it is the value, unless a word of it looks so.
            if run := re.compile(_RUN).search(text, at, said):
                parts += (text[done:at], _sweep(pattern, text[at : run.start()]), MASK)
                done = at = run.end()
            continue
        start, end = _value(text, match, kind)
        if start < end and not _stays(kind, text[start:end]):
            parts += (text[done:start], MASK)
            done = at = end
    return "".join(parts) + text[done:]


def _parts(name: str) -> list[str]:
    """The words in a name: dbPassword and DB_PASSWORD are the same two."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def _names_file(text: str, match: re.Match[str]) -> bool:
    """Whether what looks like a name and a colon is a path, and what is said of it: `/etc/tls/server.key: ...`."""
    name = match.groupdict()
    if name.get("sign") != ":" or not name["key"].endswith(_KEY_FILES):
        return False
    return text.startswith(("/", "\\"), max(0, match.start("key") - 1))


def _said(text: str, match: re.Match[str]) -> int:
    """Where a message about the secret ends, if one follows and no value: `client_secret: expired`; else 0."""
    name, at = match.groupdict(), match.end()
    if name.get("key"):
        before = text[max(0, match.start("key") - 12) : match.start("key")]
        lone_option = name.get("option") and not name["sign"]
        if (
            not (lone_option or name.get("sign") == ":")
            or text[at - 1] not in " \t"
            or before.rstrip(" ").endswith("{")
        ):
            return 0
        if name["key"] == "token" and before.lower().endswith("unexpected "):  # a word of a language
            return at
    end = text.find("\n", at, at + 200)
    end = min(len(text), at + 200) if end < 0 else end
    word = re.compile(_SAYS).match(text, at, end)
    if not word:
        return 0
    said = word[0].lower()
    if said.endswith(("exception", "error", "n't")):
        return end
    # NotFound and non-empty are two words each; x509 and 401 are none.
    parts = [] if said[-1].isdigit() else _spoken(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word[0]))
    if not _STATES.issuperset(part for part in parts if part not in _SUBJECTS):
        return 0
    return 0 if _STATES.isdisjoint(parts) and _STATES.isdisjoint(_spoken(text[word.end() : end])) else end


def _spoken(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def _head(text: str, at: int) -> str:
    return text[at : at + 256].strip("\"' ").partition(" ")[0]


def _value(text: str, match: re.Match[str], kind: _Kind) -> tuple[int, int]:
    """From where to where the value behind this match goes, without the quotes around it."""
    at, name = match.end(), match.groupdict()
    if name.get("option") and name["gap"] is None and re.compile(r"--[A-Za-z]|-[A-Za-z](?!\S)").match(text, at):
        return at, at  # two options in a row: the first has no value
    if opened := re.compile(_OPEN).match(text, at):
        return opened.end(), _closing(text, opened.end(), opened["quote"])
    if text.startswith("[", at):
        return at + 1, _end(r"[^\]\n]*+", text, at + 1)
    if kind == "header":
        if scheme := re.compile(f"(?i){_SCHEME}").match(text, at):
            at = scheme.end()
        around = text[match.start("key") - 1 : match.start("key")]
        return at, _until(text, around if around in ("'", '"') and not name["close"] else "\n", at)
    if re.compile(r"""\$\{\w+\}|\{(?=[\s"'{}\\]|\Z|[\w.-]{1,64}["']?[ \t]?[:=])""").match(text, at):
        return at, at  # a reference, or a table whose own names decide
    if block := re.compile(_BLOCK).match(text, at):
        return at, block.end()
    if name.get("line") is not None and name["gap"] and not name.get("option"):
        # `password = correct horse` on a line of its own: an INI or YAML value may have blanks in it.
        end = _until(text, "\n", at)
        if pair := re.compile(_NEXT_PAIR).search(text, at, end):
            end = pair.start()
    elif found := not name.get("option") and _in_string(text, match):
        end = found
    else:
        end = _end(_BARE if name.get("option") else _BARE_OR_PAIR, text, at)
    return at, at + len(text[at:end].rstrip(_CLOSERS + " \t\r"))


def _in_string(text: str, match: re.Match[str]) -> int:
    """Where a value in a connection string ends (`Server=db;Password=two words;Encrypt=yes`); 0 if this is none."""
    if match.groupdict().get("sign") != "=":
        return 0
    inside = text[max(0, match.start("key") - 2) : match.start("key")].rstrip(" ").endswith(";")
    found = re.compile(_IN_STRING if inside else _FIRST_IN_STRING).match(text, match.end())
    return found.end() if found else 0


def _closing(text: str, at: int, quote: str) -> int:
    """Where a quoted value ends; without a closing quote, at the end of the line (of the text, for a long quote)."""
    if len(quote) > 1:  # three quotes, or quotes that are themselves escaped
        return _until(text, quote, at)
    end = _end(_BODY[quote], text, at)
    return _end(rf"(?:{quote}\w[^\s,;)\]}}]*+)?+", text, end)  # a shell reads 'a'b as one word


def _until(text: str, mark: str, at: int) -> int:
    """Where this mark comes next; where it does not, the end of the text."""
    found = text.find(mark, at)
    return len(text) if found < 0 else found


def _end(pattern: str, text: str, at: int) -> int:
    match = re.compile(pattern).match(text, at)
    return match.end() if match else at


class _Walk:
    """Goes over the words of a command line and hides what the short options of known programs carry."""

    def __init__(self) -> None:
        self.program = ""
        self.hide = ""  # the option whose value the next word is

    def text(self, match: re.Match[str]) -> str:
        return self.word(match[0])

    def word(self, word: str) -> str:
        """The word as it may be shown."""
        letter, self.hide = self.hide, ""
        if letter and not word.startswith("--") and word != "\n":
            return self._masked(letter, word)
        if word in ("\n", ";", "|", "||", "&", "&&"):
            self.program = ""
            return word
        if word.startswith("-"):
            return self._option(word)
        bare = word.rpartition("/")[2].rpartition("=")[2].strip("\"'()[]`;:,")
        if bare == "login" and self.program in _LOGINS:
            self.program = "login"
        elif bare == "password" and self.program in ("mysqladmin", "mariadb-admin"):
            self.hide = "p"
        elif bare in _PROGRAMS or not self.program:
            self.program = bare
        return word

    def _option(self, word: str) -> str:
        if self.program == "curl" and word in _CURL_LONG:
            self.hide = _CURL_LONG[word]
            return word
        before = _BEFORE.get(self.program, "")
        at = 1
        while at < len(word) and word[at] in before:
            at += 1
        letter, value = word[at : at + 1], word[at + 1 :]
        if letter and value and letter in _JOINED.get(self.program, ""):
            return word[: at + 1] + self._masked(letter, value)
        if letter and not value and letter in _NEXT.get(self.program, ""):
            self.hide = letter
        return word

    def _masked(self, letter: str, value: str) -> str:
        sign = _USER_AND.get((self.program, letter))
        if sign is None:
            return MASK
        user, found, _ = value.partition(sign)
        quote = value[0] if value[:1] in ("'", '"') and value[-1:] == value[0] else ""
        return f"{user}{found}{MASK}{quote}" if found else value


def _argument(word: str, script: bool) -> str:
    """One argument whose end is certain; `script` says that it is itself a command line."""
    if _harmless(word):
        return word
    assignment = re.match(r"(?s)((?:-D(?=\w)|--?)?([\w.-]++)=)(.+)", word)
    if assignment and not script:
        kind = _kind(assignment[2][-160:], option=word.startswith("-"))
        if kind and not _stays(kind, assignment[3]):
            return assignment[1] + MASK
    if bare := re.fullmatch(_BARE_USER_INFO, word):
        return bare[1] + MASK + bare[2]
    return redact(word)


def _bearer(match: re.Match[str]) -> str:
    """`Bearer abc123` is a credential, `basic authentication` is talk."""
    value = match[3].rstrip("=")
    plain = value.isalpha() and (value.islower() or value.isupper() or value.istitle())
    talk = value.lower() in _BEARER_TALK or (match[2].lower() == "basic" and plain) or len(value) < 4
    return match[0] if talk else match[1] + MASK


def _sasl(match: re.Match[str]) -> str:
    """What is sent in base64 goes in fours; `AUTH PLAIN rejected` is talk."""
    value = match[2]
    word = value.isalpha() and (value.islower() or value.isupper() or value.istitle())
    return match[0] if word or len(value) % 4 else match[1] + MASK


def _code(match: re.Match[str]) -> str:
    """The code is a credential in the answer of an identity provider; elsewhere it is that of an error or a coupon."""
    text, value = match.string, match[2]
    around = re.split(r"""[\s"'<>]""", text[max(0, match.start() - 512) : match.start()])[-1]
    around += re.split(r"""[\s"'<>]""", text[match.end() : match.end() + 512], maxsplit=1)[0]
    word = value.replace("_", "").replace("-", "")
    plain = word.isalpha() and (word.islower() or word.isupper())
    return match[0] if plain or not re.search(_OAUTH, re.sub("%[0-9A-Fa-f]{2}", "&", around)) else match[1] + MASK


def _card(match: re.Match[str]) -> str:
    """The number of a payment card is one by its issuer and its check digit (ISO/IEC 7812), and by no other name."""
    digits = match[0].replace(" ", "").replace("-", "")
    doubled = (int(c) * 2 for c in digits[-2::-2])
    if (sum(int(c) for c in digits[-1::-2]) + sum(n - 9 if n > 9 else n for n in doubled)) % 10:
        return match[0]
    if not re.fullmatch(_ISSUED, digits):
        return match[0]
    label = None if match[1] else re.search(_LABEL, match.string[max(0, match.start() - 48) : match.start()])
    words = _parts(label[1]) if label else []
    named = bool(words) and words[-1] in _NUMBERED and not {"card", "pan", "cc", "credit"}.intersection(words)
    return match[0] if named else MASK


def _go_dsn(word: str) -> str:
    """user:password@tcp(host:port)/database, as Go's database drivers write it."""
    at = max(word.rfind("@tcp("), word.rfind("@unix("))
    user, colon, _ = word[: max(at, 0)].partition(":")
    return f"{user}:{MASK}{word[at:]}" if colon else word


def _xml(match: re.Match[str]) -> str:
    kind = _kind(match[1][-160:])
    value = match[2].strip()
    if not kind or _stays(kind, value):
        return match[0]
    return match[0].removesuffix(match[2]) + MASK


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[\w@%+=:,./*-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def _printable(text: str) -> str:
    """One line: what a terminal would obey, and what is no character at all, is written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
