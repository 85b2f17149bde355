"""A Glue job's arguments as windrow's: glue_job.py PROGRAM [ARGUMENT …] --name value …, where --verb names the verb."""
import os
import sys

first = sys.argv.index("--verb")
program, pairs = sys.argv[1:first], sys.argv[first:]
given = dict(zip(pairs[::2], pairs[1::2]))
verb = given.pop("--verb")
os.execvp(program[0], [*program, verb, *(part for pair in given.items() for part in pair)])
