"""The coded words our results are said in.

DCM is the DICOM controlled terminology (PS3.16 annex D), SCT is SNOMED CT, RADLEX
the lexicon of the RSNA, UCUM the units. What none of them has a word for is said
in a scheme of our own, `99MIPC`, which every object that uses it declares.
"""

from pydicom.sr.coding import Code

from records.errors import Reason
from records.model import Attenuation, Nodule, Side, VerdictLabel, Zone

__all__ = ["criterion", "finding_of", "reason_code", "unit_of"]

OWN_SCHEME = "99MIPC"
LARGEST_MICRONODULE_MM = 3.0  # Fleischner glossary (Hansell 2008, Radiology 246:697)

NODULE = Code("27925004", "SCT", "Nodule")
MICRONODULE = Code("112122", "DCM", "Micronodule")
MILIARY_PATTERN = Code("112129", "DCM", "Miliary pattern")
NODULAR_PATTERN = Code("112067", "DCM", "Nodular pattern")
GROUND_GLASS = Code("112120", "DCM", "Ground glass opacity")
SEPTAL_LINES = Code("112114", "DCM", "Septal line(s)")
PROFUSION = Code("112151", "DCM", "Profusion")
DIFFUSE = Code("19648000", "SCT", "Diffuse")
BILATERAL = Code("51440002", "SCT", "Bilateral")
UNILATERAL = Code("66459002", "SCT", "Unilateral")

LUNG = Code("39607008", "SCT", "Lung")
BOTH_SIDES = Code("51440002", "SCT", "Bilateral")
SIDES = {Side.RIGHT: Code("24028007", "SCT", "Right"), Side.LEFT: Code("7771000", "SCT", "Left")}
ZONES = {
    Zone.UPPER: Code("281392002", "SCT", "Upper zone of lung"),
    Zone.MIDDLE: Code("281393007", "SCT", "Middle zone of lung"),
    Zone.LOWER: Code("281394001", "SCT", "Lower zone of lung"),
}
ABNORMAL = Code("49755003", "SCT", "Morphologically abnormal structure")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
FINDING = Code("121071", "DCM", "Finding")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
LATERALITY = Code("272741003", "SCT", "Laterality")
DERIVATION = Code("121401", "DCM", "Derivation")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
OBSERVER_NAME = Code("121013", "DCM", "Device Observer Name")
OBSERVER_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
OBSERVER_MODEL = Code("121015", "DCM", "Device Observer Model Name")
DEVICE = Code("121007", "DCM", "Device")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
CT = Code("25045-6", "LN", "CT unspecified body region")  # what CID 100 has for CT
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")

PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
INDETERMINATE = Code("82334004", "SCT", "Indeterminate")
NOT_EVALUATED = Code("373121007", "SCT", "Not evaluated")
HELD = {True: PRESENT, False: ABSENT, None: INDETERMINATE}
VERDICTS = {
    VerdictLabel.MIPC: PRESENT,
    VerdictLabel.NOT_MIPC: ABSENT,
    VerdictLabel.INDETERMINATE: INDETERMINATE,
    VerdictLabel.NOT_EVALUABLE: NOT_EVALUATED,
}

DIAMETER = Code("81827009", "SCT", "Diameter")
VOLUME = Code("118565006", "SCT", "Volume")
ATTENUATION_COEFFICIENT = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
IMAGE_COUNT = Code("images", OWN_SCHEME, "Number of images")
IMAGES = Code("{images}", "UCUM", "images")
LESION_COUNT = Code("246206008", "SCT", "Number of lesions")
LOW = Code("lower_bound", OWN_SCHEME, "Lower bound, 90 % interval")
UPPER = Code("upper_bound", OWN_SCHEME, "Upper bound, 90 % interval")

MM = Code("mm", "UCUM", "millimeter")
MM3 = Code("mm3", "UCUM", "cubic millimeter")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
PERCENT = Code("%", "UCUM", "percent")
NODULES = Code("{nodules}", "UCUM", "nodules")
RATIO = Code("1", "UCUM", "no units")

ATTENUATION = Code("attenuation", OWN_SCHEME, "Attenuation class of a nodule")
ATTENUATIONS = {
    Attenuation.SOLID: Code("RID50151", "RADLEX", "solid pulmonary nodule"),
    Attenuation.PART_SOLID: Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
    Attenuation.GROUND_GLASS: Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
    Attenuation.CALCIFIED: Code("18115005", "SCT", "Pathologic calcification"),
}
REASON = Code("reason", OWN_SCHEME, "Reason for no plain verdict")

# What `imaging.verdict` calls its criteria and exclusions, in the words of the standard where it has them.
CRITERIA = {
    "profuse": PROFUSION,
    "diffuse": DIFFUSE,
    "bilateral": BILATERAL,
    "unilateral": UNILATERAL,
    "ground_glass": GROUND_GLASS,
    "lymphangitic": SEPTAL_LINES,
    "tiny": Code("tiny", OWN_SCHEME, "Most nodules 5 mm or less"),
    "uniform": Code("uniform", OWN_SCHEME, "Nodules of uniform size"),
    "round": Code("round", OWN_SCHEME, "Nodules round"),
}


def criterion(name: str) -> Code:
    """Return the code of a criterion or exclusion of the verdict."""
    return CRITERIA.get(name) or Code(name[:16], OWN_SCHEME, name.replace("_", " ").capitalize())


def finding_of(nodule: Nodule) -> Code:
    """Return what a nodule is called: a micronodule is smaller than 3 mm."""
    return MICRONODULE if nodule.diameter_mm.value < LARGEST_MICRONODULE_MM else NODULE


def reason_code(reason: Reason) -> Code:
    """Return the code of a reason: its own name, 16 characters at most as a Code Value has to be."""
    return Code(reason.value[:16], OWN_SCHEME, reason.value.replace("_", " ").capitalize())


def unit_of(unit: str) -> Code:
    """Return the UCUM unit of a finding; what is no unit, like a share, is 1."""
    return NODULES if unit == "nodules" else MM if unit == "mm" else RATIO
