"""What the services behind state machines in moto 5.2.5 do unlike AWS, put right: RunTask and StartJobRun start processes."""
import json
import re
import threading
import uuid

from botocore import xform_name
from botocore.exceptions import ClientError
import boto3
import botocore.config
import botocore.session
from moto.ec2.models import elastic_network_interfaces as interfaces
from moto.ecs import exceptions as ecs_exceptions
from moto.ecs import models as ecs
from moto.ecs import responses as ecs_responses
from moto.glue import exceptions as glue_exceptions
from moto.glue import models as glue
from moto.stepfunctions import responses as sfn_responses
from moto.stepfunctions.parser import models as parser_models
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service as task_service
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_aws_sdk as task_sdk
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback as task_callback
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_ecs as task_ecs
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_glue as task_glue
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_sfn as task_sfn
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_sns as task_sns
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_sqs as task_sqs
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
import moto
import moto.core.responses

from patching import failure, replace
import tasks

NO_CAPACITY = {"reason": "Capacity is unavailable at this time. Please try again later or in a different availability zone"}


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


def causes():
    """SendTaskFailure keeps its cause."""
    def send_task_failure(_, self):
        token, error, cause = (self._get_param(name) for name in ("taskToken", "error", "cause"))
        assert not (error or "").startswith("States."), error
        assert len(error or "") <= 256 and len(cause or "") <= 32768, "beyond the limits of SendTaskFailure"
        self.stepfunction_backend.send_task_failure(token, error=error, cause=cause)
        return moto.core.responses.EmptyResult()

    replace(sfn_responses.StepFunctionResponse, "send_task_failure", send_task_failure)


def executions():
    """An execution without a name gets one; one that is just starting is not asked whose token it is, which crashes."""
    def start(old, self, state_machine_arn, name=None, execution_input=None, trace_header=None):
        return old(self, state_machine_arn, name or str(uuid.uuid4()), execution_input, trace_header)

    def called_back(old, self, execution_status=None):
        found = old(self, execution_status)
        return found if execution_status is None else [each for each in found if each.exec_worker and each.exec_worker.env]

    replace(parser_models.StepFunctionsParserBackend, "start_execution", start)
    replace(parser_models.StepFunctionsParserBackend, "_get_executions", called_back)


def ecs_tasks(launcher):
    """RunTask starts a process; DescribeTasks tells its end; capacity providers are accepted."""
    task_ecs._SUPPORTED_API_PARAM_BINDINGS["runtask"].add("CapacityProviderStrategy")
    assert hasattr(interfaces.NetworkInterface, "__init__")
    interfaces.NetworkInterface.private_dns_name = ""  # tasks with awsvpc crash in a VPC without DNS hostnames

    lock = threading.Lock()  # moto walks its list of tasks while others are added

    def run_task(old, self, *args, **kwargs):
        with lock:
            started = old(self, *args, **kwargs)
        for task in started:
            task.process = start_ecs(launcher, task, self.describe_task_definition(task.task_definition_arn))
        return started

    def describe_tasks(old, self, *args, **kwargs):
        with lock:
            return old(self, *args, **kwargs)

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
    replace(ecs.EC2ContainerServiceBackend, "describe_tasks", describe_tasks)
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
    """What the task works on, and the words in the name of its result."""
    facts = {name: environment.get(f"WINDROW_{name.upper()}") for name in ("dataset", "layer", "window", "run_id", "lake")}
    result = environment.get("WINDROW_RESULT_URI", "").rpartition("/")[2].replace(facts["run_id"] or "", "")
    return {**facts, "purpose": re.sub("[^a-z]+", "-", result.removesuffix(".json")).strip("-")}


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
    assert "s3" not in task_sdk._SERVICE_ERROR_NAMES
    task_sdk._SERVICE_ERROR_NAMES["s3"] = "S3"
    assert hasattr(task_callback, "_DELAY_SECONDS_SYNC_CONDITION_CHECK")
    task_callback._DELAY_SECONDS_SYNC_CONDITION_CHECK = 0.2
    clients(config)
    casing()
    causes()
    executions()
    ecs_tasks(launcher)
    glue_jobs(launcher)
