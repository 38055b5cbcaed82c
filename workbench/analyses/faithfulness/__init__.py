"""Circuit faithfulness: how few inputs explain what the units of a layer compute, and what is left of the task with these alone.

`targets` says which layers and what they are sums of, `orders` which inputs are kept first, `scoring` measures what is left of the
pre-activations, `task` what is left of the network's output, `findings` what it comes to, `figures` draws one result or several.
"""

from workbench.analyses.faithfulness.analysis import Faithfulness
from workbench.analyses.faithfulness.figures import compare, table

__all__ = ["Faithfulness", "compare", "table"]
