"""What the interpreter of state machines in moto 5.2.5 does unlike AWS, put right; and how the test looks into it."""
import functools
import re
import sys
import threading
import time

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component import eval_component
from moto.stepfunctions.parser.asl.component.common.catch import catch_decl
from moto.stepfunctions.parser.asl.component.common.catch.catch_outcome import CatchOutcome
from moto.stepfunctions.parser.asl.component.common.error_name import custom_error_name
from moto.stepfunctions.parser.asl.component.common.error_name import error_equals_decl
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.retry import retry_decl
from moto.stepfunctions.parser.asl.component.common.retry.retrier_outcome import RetrierOutcome
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.common.timeouts import timeout
from moto.stepfunctions.parser.asl.component.intrinsic.argument import argument
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations import boolean_equals
from moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations import numeric
from moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations import string_operators
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.state_map import state_map
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import distributed_iteration_component as distributed
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import job as map_job
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (
    distributed_item_processor_worker as distributed_worker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service as task_service
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback as task_callback
from moto.stepfunctions.parser.asl.component.state.wait.wait_function import wait_function
from moto.stepfunctions.parser.asl.eval import states
from moto.stepfunctions.parser.asl.eval.callback import callback
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse import asl_parser
from moto.stepfunctions.parser.asl.utils import json_path

from patching import failure, replace
import faults
import recorder


def scale_waits(factor):
    """Retry intervals and Wait states last 1/factor of what the file says."""
    class Clock:
        sleep = staticmethod(lambda seconds: time.sleep(seconds / factor))

    assert retrier_decl.time is time and hasattr(wait_function.WaitFunction, "_wait_interval")
    retrier_decl.time = Clock
    replace(wait_function.WaitFunction, "_eval_body",
            lambda _, self, env: env.program_state_event.wait(self._get_wait_seconds(env=env) / factor))


def scale_timeouts(factor):
    """HeartbeatSeconds and TimeoutSeconds last 1/factor of what the file says."""
    def init(old, self, heartbeat_seconds):
        old(self, heartbeat_seconds / factor)

    replace(callback.HeartbeatEndpoint, "__init__", init)
    replace(timeout.TimeoutSeconds, "_eval_seconds", lambda old, self, env: old(self, env) / factor)


def error_names():
    """ErrorEquals as documented: States.ALL does not catch States.Runtime and States.DataLimitExceeded, States.TaskFailed does not
    catch timeouts; a heartbeat that stays away is States.HeartbeatTimeout; an inner Map may pass on a States.* name."""
    never = ("States.Runtime", "States.DataLimitExceeded")

    def matches(_, self, env):
        error = env.stack.pop().error_name
        names = [name.error_name for name in self.error_names]
        found = error in names or "States.ALL" in names and error not in never
        failed = "States.TaskFailed" in names and error not in (*never, "States.Timeout", "States.HeartbeatTimeout")
        env.stack.append(found or failed)

    def timed_out(old, self, env, ex):
        if not isinstance(ex, callback.HeartbeatTimeoutError):
            return old(self, env, ex)
        event = self._get_timed_out_failure_event(env)
        details = event.event_details["taskTimedOutEventDetails"]
        details["error"] = "States.HeartbeatTimeout"
        return FailureEvent(env=env, error_name=ErrorName("States.HeartbeatTimeout"), event_type=event.event_type,
                            event_details=event.event_details)

    replace(error_equals_decl.ErrorEqualsDecl, "_eval_body", matches)
    replace(task_callback.StateTaskServiceCallback, "_from_error", timed_out)
    replace(custom_error_name.CustomErrorName, "__init__", lambda _, self, error_name: ErrorName.__init__(self, error_name))


def start_over():
    """Counts of attempts start anew whenever a state is entered."""
    def state_entered(old, self, env):
        for retrier in self.retry.retriers if self.retry else []:
            for key in (retrier.max_attempts._attempt_number_key(), retrier.backoff_rate._next_multiplier_key()):
                env.heap.pop(key, None)
        return old(self, env)

    replace(execute_state.ExecutionState, "_eval_state", state_entered)
    replace(state_map.StateMap, "_eval_state", state_entered)


def recording():
    """What is walked is written down."""
    def state_entered(old, self, env):
        recorder.walked(env, "state", 0)
        return old(self, env)

    replace(state.CommonStateField, "_eval_state_input", state_entered)
    replace(retry_decl.RetryDecl, "_eval_body", record_retry)
    replace(catch_decl.CatchDecl, "_eval_body", record_catch)


def record_retry(_, self, env):
    """Retriers in their order, as moto walks them, with a note of the one that tries again."""
    error = env.stack.pop()
    for index, retrier in enumerate(self.retriers):
        env.stack.append(error)
        retrier.eval(env)
        outcome = env.stack.pop()
        if outcome == RetrierOutcome.Executed:
            recorder.walked(env, "Retry", index, error.error_name)
            return env.stack.append(retry_decl.RetryOutcome.CanRetry)
        if outcome == RetrierOutcome.Failed:
            return env.stack.append(retry_decl.RetryOutcome.CannotRetry)
    return env.stack.append(retry_decl.RetryOutcome.NoRetrier)


def record_catch(_, self, env):
    """Catchers in their order, as moto walks them, with a note of the one that catches."""
    error = env.stack[-1].error_name.error_name
    for index, catcher in enumerate(self.catchers):
        catcher.eval(env)
        if isinstance(env.stack.pop(), catch_decl.CatcherOutcomeCaught):
            recorder.walked(env, "Catch", index, error)
            env.stack.append(CatchOutcome.Caught)
            return
    env.stack.append(CatchOutcome.NotCaught)


def injected(plans, default_lake):
    """The faults that a plan wants at a state: the call fails with `error`."""
    def check(self, env):
        machine, name = recorder.place(env)
        execution = env.states.context_object.context_object_data["Execution"]
        scenario = faults.scenario_of(faults.lake_in(execution["Input"]) or default_lake)
        facts = {"machine": machine, "state": name}
        _, fault = plans.next(scenario, facts, (machine, name, execution["Id"]))
        if fault and fault["do"] == "error":
            raise failure(env, self, fault["error"], fault.get("cause", "on purpose"))

    def scheduled(old, self, env, *args, **kwargs):
        old(self, env, *args, **kwargs)
        check(self, env)

    def map_started(old, self, env):
        self._get_sfn_resource = self._get_sfn_resource_type = lambda: "map"
        check(self, env)
        return old(self, env)

    replace(task_service.StateTaskService, "_before_eval_execution", scheduled)
    replace(state_map.StateMap, "_eval_execution", map_started)


def tokens():
    """Every attempt of a state has a token of its own; moto gives a retry the first one's, with the outcome it already has. An
    answer that comes before the state listens for heartbeats is heard; moto waits on."""
    def execute(old, self, env):
        if isinstance(self, task_callback.StateTaskServiceCallback) and self._is_integration_pattern():
            env.callback_pool_manager.add(env.states.context_object.update_task_token())
        return old(self, env)

    def listen(old, self, heartbeat_seconds):
        endpoint = old(self, heartbeat_seconds=heartbeat_seconds)
        if self.get_outcome() is not None:
            endpoint.notify()
        return endpoint

    replace(task_service.StateTaskService, "_eval_execution", execute)
    replace(callback.CallbackEndpoint, "setup_heartbeat_endpoint", listen)


PARSER = threading.Lock()


def one_at_a_time(parse):
    """A parser that remembers its results and never runs twice at a time: those of moto share tables."""
    parse = functools.lru_cache(maxsize=None)(parse)

    def locked(text):
        with PARSER:
            return parse(text)

    return locked


def paths():
    """A path that can find several things gives a list, always; a path to one thing gives that thing. moto guesses by the matches."""
    several = re.compile(r"\.\.|\*|\?\(|\[[^\]']*[:,]")
    parse, parse_plain = one_at_a_time(json_path.parse), one_at_a_time(result_path.parse)

    def extract(path, data):
        found = [match.value for match in parse(path).find(data)]
        if several.search(path):
            return found
        if not found:
            raise json_path.NoSuchJsonPathError(json_path=path, data=data)
        return found[0]

    for module in (argument, boolean_equals, numeric, string_expression, string_operators, states):
        assert hasattr(module, "extract_json"), module.__name__
        module.extract_json = extract
    result_path.parse = parse_plain


def parsing():
    """A definition is parsed once; what it is parsed to keeps no state of executions."""
    assert hasattr(asl_parser.AmazonStateLanguageParser, "parse")
    asl_parser.AmazonStateLanguageParser.parse = staticmethod(one_at_a_time(asl_parser.AmazonStateLanguageParser.parse))


def quiet():
    """Failures of states are data here; moto logs each with the whole parsed state machine."""
    replace(eval_component.EvalComponent, "_log_failure_event_exception", lambda old, self, failure_event_exception: None)
    replace(eval_component.EvalComponent, "_log_exception",
            lambda old, self, exception: print(type(self).__name__, repr(exception)[:500], file=sys.stderr))


def tolerated_failures():
    """A distributed map ends after more failed items than tolerated; moto tolerates them all, and gives None for each."""
    running = threading.local()

    def run(old, self, env, eval_input):
        running.tolerated = eval_input.tolerated_failure_count
        try:
            return old(self, env, eval_input)
        finally:
            running.tolerated = None

    def pool(old, self, *args, **kwargs):
        old(self, *args, **kwargs)
        self.tolerated, self.failed = getattr(running, "tolerated", None), 0

    def item(old, self, env, job):
        old(self, env, job)
        jobs = self._job_pool
        if job.job_output is None:
            with jobs._mutex:
                jobs.failed += 1
                exceeded = jobs.failed > jobs.tolerated
            job.job_output = exceeded_threshold(env) if exceeded else None

    replace(distributed.DistributedIterationComponent, "_map_run", run)
    replace(map_job.JobPool, "__init__", pool)
    replace(distributed_worker.DistributedItemProcessorWorker, "_eval_job", item)


def exceeded_threshold(env):
    """The error of a distributed map with more failures than tolerated."""
    name = "States.ExceedToleratedFailureThreshold"
    details = {"error": name, "cause": "the specified tolerated failure threshold was exceeded"}
    return FailureEventException(FailureEvent(
        env=env, error_name=ErrorName(name), event_type=HistoryEventType.MapRunFailed,
        event_details=EventDetails(mapRunFailedEventDetails=details)))


def apply(config, launcher):
    """All of them."""
    scale_waits(config["wait_factor"])
    scale_timeouts(config["timeout_factor"])
    error_names()
    start_over()
    recording()
    injected(launcher.plans, config["lake"])
    tokens()
    paths()
    parsing()
    quiet()
    tolerated_failures()
