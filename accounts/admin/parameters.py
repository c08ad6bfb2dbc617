"""What is asked of a list and cannot be answered is a mistake of whoever asks, not of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import BadRequest, EmptyResultSet, ValidationError
from django.db import DataError, ProgrammingError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = object


NOT_A_VALUE: Final = (
    *(ArithmeticError, LookupError, ValueError, ValidationError),  # of Python and of Django
    *(DataError, ProgrammingError),  # of the database
)


@contextmanager
def answered_by(error: type[Exception]) -> Iterator[None]:
    """Raise this error where a parameter turns out to be no value of its column."""
    try:
        yield
    except NOT_A_VALUE as wrong:
        raise error("This is not a value of that column.") from wrong


class CheckedParameters(ModelAdmin):
    """For a list that is asked by its address, or that takes actions on rows named by a form.

    Django looks at the names of parameters, and leaves most values to the database.
    """

    def get_changelist_instance(self, request: HttpRequest) -> Any:  # Any: as Django has it
        """Return the list, which has asked the database; else Django answers with all of it."""
        if not request.GET.keys() - {ERROR_FLAG}:
            return super().get_changelist_instance(request)
        with answered_by(IncorrectLookupParameters):
            return super().get_changelist_instance(request)

    def response_action(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        *args: Any,
        **kwargs: Any,  # Any: as Django has it, of one version or another
    ) -> HttpResponse | None:
        """Take an action on rows, if what names them can be the name of one."""
        keys = request.POST.getlist(ACTION_CHECKBOX_NAME)
        with answered_by(BadRequest), suppress(EmptyResultSet):
            str(queryset.filter(pk__in=keys).query)  # as the database would be asked
            if any("\0" in key for key in keys):
                raise ValueError
        return super().response_action(request, queryset, *args, **kwargs)
