"""What moto 5.2.5 does unlike AWS, put right. Each function replaces one thing; `replace` fails when moto has no such thing."""
import functools
import json
import re
import sys
import threading
import time
import uuid

import boto3
import botocore.config
import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError

import faults
import moto
import moto.core.responses
import moto.ec2.models.elastic_network_interfaces as interfaces
import moto.ecs.exceptions as ecs_exceptions
import moto.ecs.models as ecs
import moto.ecs.responses as ecs_responses
import moto.glue.exceptions as glue_exceptions
import moto.glue.models as glue
import moto.stepfunctions.parser.asl.component.common.catch.catch_decl as catch_decl
import moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name as custom_error_name
import moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl as error_equals_decl
import moto.stepfunctions.parser.asl.component.common.path.result_path as result_path
import moto.stepfunctions.parser.asl.component.common.string.string_expression as string_expression
import moto.stepfunctions.parser.asl.component.eval_component as eval_component
import moto.stepfunctions.parser.asl.component.intrinsic.argument.argument as argument
import moto.stepfunctions.parser.asl.component.common.retry.retrier_decl as retrier_decl
import moto.stepfunctions.parser.asl.component.common.retry.retry_decl as retry_decl
import moto.stepfunctions.parser.asl.component.common.timeouts.timeout as timeout
import moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations.boolean_equals as boolean_equals
import moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations.numeric as numeric
import moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations.string_operators as string_operators
import moto.stepfunctions.parser.asl.component.state.exec.execute_state as execute_state
import moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component as distributed
import moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.distributed_item_processor_worker as \
    distributed_worker
import moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job as map_job
import moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map as state_map
import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service as task_service
import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk as task_sdk
import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback as task_callback
import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_ecs as task_ecs
import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_glue as task_glue
import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn as task_sfn
import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sns as task_sns
import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sqs as task_sqs
import moto.stepfunctions.parser.asl.component.state.state as state
import moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function as wait_function
import moto.stepfunctions.parser.asl.eval.callback.callback as callback
import moto.stepfunctions.parser.asl.eval.states as states
import moto.stepfunctions.parser.asl.parse.asl_parser as asl_parser
import moto.stepfunctions.parser.asl.utils.json_path as json_path
import moto.stepfunctions.parser.models as parser_models
import moto.stepfunctions.responses as sfn_responses
import recorder
import tasks
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.catch.catch_outcome import CatchOutcome
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.retry.retrier_outcome import RetrierOutcome
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

VERSION = "5.2.5"
NO_CAPACITY = {"reason": "Capacity is unavailable at this time. Please try again later or in a different availability zone"}


def replace(owner, name, new):
    """Puts `new` in the place of an attribute that must exist; `new` gets the old one as its first argument."""
    assert hasattr(owner, name), f"moto {moto.__version__} has no {owner.__name__}.{name}"
    old = getattr(owner, name)

    @functools.wraps(old)
    def replaced(*args, **kwargs):
        return new(old, *args, **kwargs)

    setattr(owner, name, replaced)


def failure(env, service, error, cause):
    """The exception that fails a task state with this error name."""
    details = TaskFailedEventDetails(error=error, cause=cause, resource=service._get_sfn_resource(),
                                     resourceType=service._get_sfn_resource_type())
    return FailureEventException(FailureEvent(
        env=env, error_name=ErrorName(error), event_type=HistoryEventType.TaskFailed,
        event_details=EventDetails(taskFailedEventDetails=details)))


# Time.

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


# Clients.

def clients(config):
    """One client a service, made under a lock (making one is slow and not safe in threads); S3 is the server of the test."""
    lock, made = threading.Lock(), {}

    def client(region, service, state_credentials=None):
        with lock:
            if (region, service) not in made:
                made[region, service] = new_client(config, region, service)
            return made[region, service]

    for module in (task_ecs, task_glue, task_sfn, task_sns, task_sqs, task_sdk):
        assert hasattr(module, "boto_client_for"), module.__name__
        module.boto_client_for = client


def new_client(config, region, service):
    """A client of the emulator, or of the S3 server."""
    s3 = config["s3"]
    place = (s3["endpoint"], s3["key"], s3["secret"]) if service == "s3" else (config["endpoint"], "local", "local")
    settings = botocore.config.Config(
        parameter_validation=False, retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=60, max_pool_connections=50,
        s3={"addressing_style": "path"})
    return boto3.client(service, region_name=region, endpoint_url=place[0], aws_access_key_id=place[1], aws_secret_access_key=place[2],
                        config=settings)


def casing():
    """Parameters and results are in PascalCase at the state machine and in the API's own case behind it; moto leaves them as they are."""
    models = botocore.session.get_session()

    def operation(self, service, action):
        model = models.get_service_model(self._get_boto_service_name(service))
        action = self._get_boto_service_action(action)
        return model.operation_model(next(name for name in model.operation_names if xform_name(name) == action))

    def parameters(_, self, parameters, boto_service_name=None, service_action_name=None):
        shape = operation(self, boto_service_name, service_action_name).input_shape
        if shape is not None:
            self._to_boto_request(parameters, shape)

    def response(_, self, response, boto_service_name=None, service_action_name=None):
        shape = operation(self, boto_service_name, service_action_name).output_shape
        if shape is not None:
            self._from_boto_response(response, shape)

    replace(task_service.StateTaskService, "_normalise_parameters", parameters)
    replace(task_service.StateTaskService, "_normalise_response", response)


# Errors.

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


def retries():
    """Counts of attempts start anew whenever a state is entered, and what is walked is written down."""
    def enter(old, self, env):
        recorder.walked(env, "state", 0)
        return old(self, env)

    def forget(self, env):
        for retrier in self.retry.retriers if self.retry else []:
            for key in (retrier.max_attempts._attempt_number_key(), retrier.backoff_rate._next_multiplier_key()):
                env.heap.pop(key, None)

    def start_over(old, self, env):
        forget(self, env)
        return old(self, env)

    def record_retry(_, self, env):
        error = env.stack.pop()
        for index, retrier in enumerate(self.retriers):
            env.stack.append(error)
            retrier.eval(env)
            outcome = env.stack.pop()
            if outcome == RetrierOutcome.Skipped:
                continue
            if outcome == RetrierOutcome.Executed:
                recorder.walked(env, "Retry", index, error.error_name)
            done = outcome == RetrierOutcome.Executed
            env.stack.append(retry_decl.RetryOutcome.CanRetry if done else retry_decl.RetryOutcome.CannotRetry)
            return
        env.stack.append(retry_decl.RetryOutcome.NoRetrier)

    replace(state.CommonStateField, "_eval_state_input", enter)
    replace(execute_state.ExecutionState, "_eval_state", start_over)
    replace(state_map.StateMap, "_eval_state", start_over)
    replace(retry_decl.RetryDecl, "_eval_body", record_retry)
    replace(catch_decl.CatchDecl, "_eval_body", record_catch)


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


def causes():
    """SendTaskFailure keeps its cause."""
    def send_task_failure(_, self):
        token, error, cause = (self._get_param(name) for name in ("taskToken", "error", "cause"))
        assert not (error or "").startswith("States."), error
        assert len(error or "") <= 256 and len(cause or "") <= 32768, "beyond the limits of SendTaskFailure"
        self.stepfunction_backend.send_task_failure(token, error=error, cause=cause)
        return moto.core.responses.EmptyResult()

    replace(sfn_responses.StepFunctionResponse, "send_task_failure", send_task_failure)


# Paths and parsing.

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


def tokens():
    """Every attempt of a state has a token of its own; moto gives a retry the first one's, with the outcome it already has."""
    def execute(old, self, env):
        if isinstance(self, task_callback.StateTaskServiceCallback) and self._is_integration_pattern():
            env.callback_pool_manager.add(env.states.context_object.update_task_token())
        return old(self, env)

    replace(task_service.StateTaskService, "_eval_execution", execute)


# Nested executions and distributed maps.

def executions():
    """An execution without a name gets one."""
    def start(old, self, state_machine_arn, name=None, execution_input=None, trace_header=None):
        return old(self, state_machine_arn, name or str(uuid.uuid4()), execution_input, trace_header)

    replace(parser_models.StepFunctionsParserBackend, "start_execution", start)


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


# ECS and Glue.

def ecs_tasks(launcher):
    """RunTask starts a process; DescribeTasks tells its end; capacity providers are accepted."""
    task_ecs._SUPPORTED_API_PARAM_BINDINGS["runtask"].add("CapacityProviderStrategy")
    assert hasattr(interfaces.NetworkInterface, "__init__")
    interfaces.NetworkInterface.private_dns_name = ""  # tasks with awsvpc crash in a VPC without DNS hostnames

    def run_task(old, self, *args, **kwargs):
        started = old(self, *args, **kwargs)
        for task in started:
            task.process = start_ecs(launcher, task, self.describe_task_definition(task.task_definition_arn))
        return started

    def respond(old, self):
        try:
            return old(self)
        except tasks.Refused as refused:
            if refused.code == "capacity":
                return moto.core.responses.ActionResult({"tasks": [], "failures": [NO_CAPACITY]})
            raise ecs_exceptions.ECSException(refused.code, "on purpose") from refused

    assert hasattr(ecs.Task, "status")
    ecs.Task.status = property(task_status, lambda self, value: None)
    replace(ecs.EC2ContainerServiceBackend, "run_task", run_task)
    replace(ecs_responses.EC2ContainerServiceResponse, "run_task", respond)
    replace(task_ecs.StateTaskServiceEcs, "_eval_service_task", refuse_empty)
    replace(task_ecs.StateTaskServiceEcs, "_from_error", ecs_error)
    replace(task_ecs.StateTaskServiceEcs, "_build_sync_resolver", exit_codes)


def start_ecs(launcher, task, definition):
    """The process of an ECS task: the family's program with the overrides' command and environment."""
    overrides = task.overrides or {}
    container = definition.container_definitions[0]
    given = {entry["name"]: entry for entry in overrides.get("containerOverrides", [])}
    assert set(given) <= {container["name"]}, f"no container {set(given)} in {definition.family}"
    override = given.get(container["name"], {})
    command = override.get("command") or container.get("command") or []
    environment = {entry["name"]: entry["value"] for entry in override.get("environment") or []}
    size = len(json.dumps(overrides))
    assert size <= 8192, f"overrides of {size} characters"
    facts = {"runner": "ecs", "family": definition.family, "command": " ".join(command), "cpu": overrides.get("cpu"),
             "memory": overrides.get("memory"), "overrides": size, **named(environment)}
    return launcher.start(facts, [*launcher.config["tasks"][definition.family], *command], environment)


def named(environment):
    """What the task works on."""
    return {name: environment.get(f"WINDROW_{name.upper()}") for name in ("dataset", "layer", "window", "run_id", "lake")}


def task_status(self):
    """RUNNING while the process runs."""
    code = self.process.poll() if getattr(self, "process", None) else None
    if code is None:
        return "RUNNING"
    container = self.containers[0]
    container.exitCode, container.last_status = (code if code >= 0 else 128 - code), "STOPPED"
    self.stop_code, self.stopped_reason = "EssentialContainerExited", "Essential container in task exited"
    return "STOPPED"


def refuse_empty(old, self, env, resource_runtime_part, normalised_parameters, state_credentials):
    """RunTask that starts nothing fails the state as AmazonECS.Unknown."""
    try:
        return old(self, env, resource_runtime_part, normalised_parameters, state_credentials)
    except IndexError as error:
        raise failure(env, self, "AmazonECS.Unknown", to_json_str({"Failures": [NO_CAPACITY], "Tasks": []})) from error


def ecs_error(old, self, env, ex):
    """Exceptions of the API as ECS.<name>; those its model does not name as ECS.AmazonECSException."""
    if not isinstance(ex, ClientError):
        return old(self, env, ex)
    code, message = ex.response["Error"]["Code"], ex.response["Error"]["Message"]
    modelled = type(ex) is not ClientError
    error = f"ECS.{code}" if modelled else "ECS.AmazonECSException"
    return failure(env, self, error, f"{message} (Service: AmazonECS; Error Code: {code})").failure_event


def exit_codes(old, self, env, *args, **kwargs):
    """`.sync` fails the state when a container ends with another code than 0; the cause is the task's description."""
    resolve = old(self, env, *args, **kwargs)

    def resolver():
        task = resolve()
        if task is not None and any(container.get("ExitCode") not in (0, None) for container in task.get("Containers", [])):
            raise failure(env, self, "States.TaskFailed", to_json_str(task))
        return task

    return resolver


def glue_jobs(launcher):
    """StartJobRun starts a process; GetJobRun tells its end."""
    def start(old, self, *args, **kwargs):
        arguments = kwargs["arguments"]
        given = {name.lstrip("-").replace("-", "_"): value for name, value in arguments.items()}
        facts = {"runner": "glue", "family": self.name, "command": given.get("verb", "run"),
                 **{name: given.get(name) for name in ("dataset", "window", "run_id", "lake")}}
        argv = [*launcher.config["glue_jobs"][self.name], *(part for pair in arguments.items() for part in pair)]
        try:
            process = launcher.start(facts, argv, {"WINDROW_LAKE": given["lake"]})
        except tasks.Refused as refused:
            raise glue_exceptions.GlueClientError(refused.code, "on purpose") from refused
        run_id = old(self, *args, **kwargs)
        next(run for run in self.job_runs if run.job_run_id == run_id).process = process
        return run_id

    # moto asks for a token's endpoint after every `.sync` call and has none for Glue
    task_glue._SUPPORTED_INTEGRATION_PATTERNS.add(task_glue.ResourceCondition.WaitForTaskToken)
    replace(glue.FakeJob, "start_job_run", start)
    assert hasattr(glue.FakeJobRun, "status")
    glue.FakeJobRun.status = property(job_status, lambda self, value: None)


def job_status(self):
    """RUNNING while the process runs; any exit code but 0 is FAILED."""
    code = self.process.poll() if getattr(self, "process", None) else None
    return "RUNNING" if code is None else "SUCCEEDED" if code == 0 else "FAILED"


def apply(config, launcher):
    """All of them."""
    assert moto.__version__ == VERSION, f"the patches are for moto {VERSION}, this is {moto.__version__}"
    assert "s3" not in task_sdk._SERVICE_ERROR_NAMES
    task_sdk._SERVICE_ERROR_NAMES["s3"] = "S3"
    task_callback._DELAY_SECONDS_SYNC_CONDITION_CHECK = 0.2
    scale_waits(config["wait_factor"])
    scale_timeouts(config["timeout_factor"])
    clients(config)
    casing()
    error_names()
    retries()
    injected(launcher.plans, config["lake"])
    causes()
    tokens()
    paths()
    parsing()
    quiet()
    executions()
    tolerated_failures()
    ecs_tasks(launcher)
    glue_jobs(launcher)
