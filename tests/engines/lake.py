"""Where the lake is, what auditlake prints about it, and the pages whose lines are run."""

import json
import os
import pathlib
import re
import subprocess

import reference

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOCAL = os.environ["ENGINES_LOCAL"]
#: The same, but for the partition HOLE and a file of another.
HOLED = os.environ["ENGINES_HOLED"]
HOLE = {"provider": "avaya_axp", "event_date": "2026-03-04"}
OTHER = os.environ["ENGINES_OTHER"]
S3 = f"s3://{os.environ['ENGINES_S3']}"
BUCKET = os.environ["ENGINES_S3"].split("/")[0]
ENDPOINT = os.environ["ENGINES_ENDPOINT"]
KEY, SECRET = os.environ["ENGINES_KEY"], os.environ["ENGINES_SECRET"]
FACTS = json.loads(pathlib.Path(os.environ["ENGINES_FACTS"]).read_text())

TABLES = ["audit_events", "audit_runs"]
#: The columns in the path.
BY_DEFAULT = ["provider", "event_date"]
#: A partition to look for.
PROVIDER, DATE = "avaya_axp", "2026-03-02"


#: Files with fewer rows have no dictionaries, no Bloom filter, no page index, and statistics of `event_time` only.
SMALL_ROWS = 1_000


def files_of(**partition):
    return [path for path in reference.files(LOCAL) if partition.items() <= reference.partition(path).items()]


def auditlake(*arguments, **environment):
    done = subprocess.run(
        [os.environ["AUDITLAKE"], *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )
    if done.returncode:
        raise AssertionError(f"{arguments}: {done.stderr}")
    return done.stdout


def ddl(engine, lake, table="audit_events"):
    return auditlake("schema", "--format", engine, "--lake", lake, "--table", table)


def printed(text):
    """What the lines of a block for a shell print."""
    said = []
    for line in text.splitlines():
        program, *arguments = line.split()
        assert program == "auditlake", line
        said.append(auditlake(*arguments))
    return "".join(said)


def ddl_by_hour(engine):
    """For the small lake, whose partition columns only its jobs.yaml knows."""
    return auditlake("schema", "--format", engine, "--config", "../jobs-by-hour.yaml", LAKE_URL=f"file://{OTHER}")


def columns(table="audit_events"):
    """Name and type of each column, as the documentation writes types."""
    return {column["name"]: column["type"] for column in described(table)}


def required(table):
    """The columns that are never null."""
    return {column["name"] for column in described(table) if column["required"]}


def described(table):
    return json.loads(auditlake("schema", "--format", "json", "--lake", LOCAL, "--table", table))["columns"]


def statements(sql):
    """SQL that was pasted, statement by statement."""
    without_remarks = re.sub(r"^\s*--.*$|\s--\s.*$", "", sql, flags=re.MULTILINE)
    return [one.strip() for one in re.split(r";\s*(?:\n|$)", without_remarks) if one.strip()]


def plain(value):
    """A value of an engine's, as it is written in the facts."""
    if value is None or isinstance(value, (str, int)):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return int(value)


class Block:
    """A block of code of a page."""

    def __init__(self, page, heading, info, text, line):
        self.page, self.heading, self.text, self.line = page, heading, text, line
        self.language, *self.marks = info.split()

    def __repr__(self):
        return f"docs/{self.page}:{self.line}"

    def at(self, lake):
        """With the names that stand for the reader's own replaced; `lake` is LOCAL or S3."""
        text = self.text
        if lake == S3:
            text = text.replace("http://localhost:8333/my-bucket/audit", f"{ENDPOINT}/{S3.removeprefix('s3://')}")
        for theirs, ours in [
            ("http://localhost:8333/my-bucket/audit", lake),
            ("s3a://my-bucket/audit", lake),
            ("s3://my-bucket/audit", lake),
            ("my-bucket/audit", lake.removeprefix("s3://")),
            ("my-bucket", BUCKET),
            ("my-key", KEY),
            ("my-secret", SECRET),
            ("localhost:8333", ENDPOINT.removeprefix("http://")),
        ]:
            text = text.replace(theirs, ours)
        return text


def blocks(page, heading=None):
    """The blocks of a page in docs/, or of one of its sections (`## heading`)."""
    found, section, block = [], None, None
    for number, line in enumerate((ROOT / "docs" / page).read_text().splitlines(), 1):
        if block is not None:
            if line == "```":
                found.append(block)
                block = None
            else:
                block.text += line + "\n"
        elif line.startswith("```"):
            block = Block(page, section, line[3:], "", number)
        elif line.startswith("## "):
            section = line[3:]
    return [block for block in found if heading in (None, block.heading)]


def by_account_and_hour():
    """What the small lake has in each of its partitions, told by the times and not by the paths."""
    return reference.counted(
        (row["account_id"], row["event_time"].strftime("%Y-%m"), row["event_time"].hour) for row in reference.rows(OTHER)
    )


def set_up_s3():
    """The environment, as the page has it."""
    for block in blocks("query.md"):
        if block.heading is None:
            for name, value in re.findall(r"(\w+)=(\S+)", block.at(S3)):
                os.environ[name] = value
