"""The response of a time point from its parts: tables 1 and 2 of RECIST 1.1."""

from analysis.recist.results import NewLesion
from records.reads import Response

__all__ = ["overall_response"]

NONTARGETS_AGREE = {  # table 1, rows without progression: target response -> overall response
    Response.PR: Response.PR,
    Response.SD: Response.SD,
    Response.NE: Response.NE,
}


def overall_response(
    target: Response | None, nontarget: Response | None, new_lesion: NewLesion
) -> tuple[Response, str]:
    """Combine target response, non-target response and new lesions.

    Parameters
    ----------
    target : Response or None
        CR, PR, SD, PD or NE; None for a patient without target lesions.
    nontarget : Response or None
        CR, non-CR/non-PD, PD or NE; None for a patient without non-target lesions.
    new_lesion : NewLesion
        Only an unequivocal one is progression.

    Returns
    -------
    Response
        Without targets: CR, non-CR/non-PD, PD or NE, never PR or SD. Without
        any lesion at baseline: PD or "no evidence of disease".
    str
        The table the answer stands in.

    Examples
    --------
    >>> overall_response(Response.CR, Response.NON_CR_NON_PD, NewLesion.NO)
    (<Response.PR: 'PR'>, 'table 1')
    >>> overall_response(None, Response.NON_CR_NON_PD, NewLesion.NO)
    (<Response.NON_CR_NON_PD: 'NON-CR/NON-PD'>, 'table 2')
    """
    table = "table 2" if target is None else "table 1"
    if Response.PD in (target, nontarget) or new_lesion is NewLesion.YES:
        return Response.PD, table
    if target is None:
        return (Response.NED, "no lesion at baseline") if nontarget is None else (nontarget, table)
    if target is Response.CR:
        return (Response.CR if nontarget in (Response.CR, None) else Response.PR), table
    return NONTARGETS_AGREE[target], table
