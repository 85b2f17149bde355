"""How moto is changed: one function or method at a time, and only what exists."""
import functools

from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
import moto

VERSION = "5.2.5"


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
