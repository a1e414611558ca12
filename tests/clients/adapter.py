"""The client's side of the harness: verbs come in and results go out, one JSON line each.

    in   {"verb": "put", "bucket": "b", "key": "k", "file": "/…/up"}
    out  {"ok": null}, or {"error": "…"} with what the client said

Every client is a program of its own, so that those in other languages, and Python ones whose requirements
clash, go through the very same scenario. It greets with its version, the verbs that it offers, and the
checksums that it can compute: {"version": "1.2", "verbs": ["put", …], "algorithms": ["CRC32", …]}. What it
does not offer is left out there, never imitated: an adapter only says a verb in its client's words.

Verbs. Bodies travel in files, whose paths are absolute; `upload` is how this client sends large files.

    make_bucket bucket        buckets -> names                     remove_bucket bucket
    put bucket key file       upload bucket key file               stream bucket key file
    get bucket key file       range bucket key first last file     list bucket prefix -> [[key, size], …]
    delete bucket key         delete_many bucket keys              copy bucket key new
    put_metadata bucket key file metadata                          metadata bucket key -> {name: value}
    checksum bucket key file algorithm                             wrong_checksum bucket key file
    put_if_absent bucket key file -> was it written                put_if_match bucket key file tag -> likewise
    set_tags bucket key tags  tags bucket key -> {name: value}     presign bucket key -> URL
    sync folder bucket prefix check folder bucket prefix           sync_down bucket prefix folder
    samples bucket keys -> [[name, SHA-256], …] of the files in tar shards
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

ENDPOINT = os.environ["CLIENT_ENDPOINT"]
ADDRESS = ENDPOINT.split("//")[1]
SECURE = ENDPOINT.startswith("https:")
REGION = os.environ["AWS_REGION"]
ACCESS_KEY = os.environ["AWS_ACCESS_KEY_ID"]
SECRET_KEY = os.environ["AWS_SECRET_ACCESS_KEY"]
CERTIFICATE = os.environ["AWS_CA_BUNDLE"]
# A folder for this client alone: its configuration, its temporary files.
WORK = pathlib.Path(os.environ["CLIENT_WORK"])

MIB = 1024 * 1024


def serve(version, client):
    """Answers until there is no more to read. The public methods of `client` are its verbs."""
    # A library that prints must not break the conversation.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    verbs = [name for name in dir(client) if not name.startswith("_") and callable(getattr(client, name))]
    say(answers, {"version": version, "verbs": verbs, "algorithms": getattr(client, "algorithms", [])})
    for line in sys.stdin:
        words = json.loads(line)
        verb = words.pop("verb")
        try:
            say(answers, {"ok": getattr(client, verb)(**words)})
        except Exception as error:  # whatever a client throws is its answer
            say(answers, {"error": f"{type(error).__name__}: {error}"})


def say(answers, words):
    answers.write(json.dumps(words) + "\n")
    answers.flush()


class Failed(Exception):
    """A command that ended with an error, and what it said."""


def command(name):
    """A client that is a command: `run = command("s5cmd")`, then `run("ls", …)` gives what it printed.
    `body` is a file to be read as its standard input, `out` one to write its standard output to."""
    beside = pathlib.Path(sys.executable).parent / name
    program = str(beside) if beside.exists() else shutil.which(name)

    def run(*words, body=os.devnull, out=None):
        with open(body, "rb") as stdin:
            done = subprocess.run([program, *words], capture_output=True, stdin=stdin)
        if out is not None:
            pathlib.Path(out).write_bytes(done.stdout)
        said = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise Failed(f"{name} {' '.join(words)}: {said}{done.stderr.decode(errors='replace')}"[-2000:])
        return said

    return run


def refused(error, *codes):
    """True when the error carries one of these codes; any other error is raised on."""
    if any(code in str(error) for code in codes):
        return True
    raise error
