"""Imported first in the server that workers are forked from: it imports the rest without looking for garbage.

Importing makes hundreds of thousands of objects and hardly any garbage; searching them takes an eighth of the
time. A worker turns the search on again (`imaging.worker`).
"""

import gc

gc.disable()
