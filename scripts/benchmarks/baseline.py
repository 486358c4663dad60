"""The measure for what a request costs: a bare Flask view on Waitress that returns a constant.

python baseline.py PORT THREADS
"""

from __future__ import annotations

import logging
import sys

import flask
import waitress

app = flask.Flask("baseline")
BODY = b'{"Code":0,"Message":"OK","RequestID":"00000000-0000-4000-8000-000000000000"}'


@app.route("/", methods=["GET", "POST"])
def constant() -> flask.Response:
    flask.request.get_data()
    return flask.Response(BODY, content_type="application/json")


if __name__ == "__main__":
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.serve(
        app, host="127.0.0.1", port=int(sys.argv[1]), threads=int(sys.argv[2]), connection_limit=2000,
        backlog=2048, _quiet=True,
    )  # fmt: skip
