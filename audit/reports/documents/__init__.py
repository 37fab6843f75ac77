"""Documents on a deployment: a pure function each from what the suite knows to a page.

`evidence` is what goes in. What the suite knows is filled in; what only people can say is a question, open
until someone has answered it. To add a document: a module here with a function from `Evidence` to
`audit.reports.layout.Page`, and an entry in `DOCUMENTS`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from audit.reports.documents.bias_audit import bias_audit
from audit.reports.documents.datasheet import datasheet
from audit.reports.documents.ethics_checklist import ethics_checklist
from audit.reports.documents.evidence import Evidence
from audit.reports.documents.model_card import model_card
from audit.reports.documents.project_checklist import project_checklist
from audit.reports.documents.technical_documentation import technical_documentation
from audit.reports.layout import Page

DOCUMENTS: Mapping[str, Callable[[Evidence], Page]] = MappingProxyType(
    {
        "datasheet": datasheet,
        "model_card": model_card,
        "ethics_checklist": ethics_checklist,
        "data_project_checklist": project_checklist,
        "bias_audit": bias_audit,
        "technical_documentation": technical_documentation,
    }
)

__all__ = ["DOCUMENTS", "Evidence"]
