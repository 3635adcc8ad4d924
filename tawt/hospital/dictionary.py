"""What the invented hospital can measure: items with units, ranges and hidden causes, panels, diagnoses.

Item numbers, labels and units are those of the MIMIC-IV dictionary, so that a pipeline written for MIMIC-IV
reads the invented hospital too; means and spreads are round textbook figures, fitted to nobody.

Source: Johnson et al., "MIMIC-IV, a freely accessible electronic health record dataset", Sci Data 2023 (the
layout of the tables).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FACTORS = ("renal", "shock", "anaemia", "liver", "acidosis", "salt", "sugar")
"""Hidden causes: each patient has a level of each, and each drifts in time; items share them."""


class Item(NamedTuple):
    """One measurable quantity; `mean` and `spread` are of the logarithm where `skewed`."""

    itemid: int
    label: str
    category: str
    unit: str
    mean: float
    spread: float
    decimals: int
    low: float
    high: float
    causes: dict[str, float]
    skewed: bool = False


LABS = (
    Item(50912, "Creatinine", "Chemistry", "mg/dL", 0.15, 0.55, 1, 0.4, 1.2, {"renal": 0.9}, True),
    Item(51006, "Urea Nitrogen", "Chemistry", "mg/dL", 3.1, 0.5, 0, 6, 20, {"renal": 0.85, "shock": 0.2}, True),
    Item(50971, "Potassium", "Chemistry", "mEq/L", 4.2, 0.35, 1, 3.3, 5.1, {"renal": 0.5, "acidosis": 0.4}),
    Item(50983, "Sodium", "Chemistry", "mEq/L", 139, 4.0, 0, 133, 145, {"salt": 0.85}),
    Item(50902, "Chloride", "Chemistry", "mEq/L", 103, 5.0, 0, 96, 108, {"salt": 0.75, "acidosis": 0.3}),
    Item(50882, "Bicarbonate", "Chemistry", "mEq/L", 25, 4.0, 0, 22, 32, {"acidosis": -0.85}),
    Item(50868, "Anion Gap", "Chemistry", "mEq/L", 13, 3.2, 0, 8, 16, {"acidosis": 0.7, "renal": 0.35}),
    Item(50931, "Glucose", "Chemistry", "mg/dL", 4.85, 0.32, 0, 70, 100, {"sugar": 0.9}, True),
    Item(50960, "Magnesium", "Chemistry", "mg/dL", 2.0, 0.28, 1, 1.6, 2.6, {"renal": 0.45}),
    Item(50893, "Calcium, Total", "Chemistry", "mg/dL", 8.7, 0.6, 1, 8.4, 10.3, {"renal": -0.3, "shock": -0.4}),
    Item(50970, "Phosphate", "Chemistry", "mg/dL", 3.5, 0.9, 1, 2.7, 4.5, {"renal": 0.75}),
    Item(51222, "Hemoglobin", "Hematology", "g/dL", 10.8, 1.9, 1, 11.2, 15.7, {"anaemia": -0.95}),
    Item(51221, "Hematocrit", "Hematology", "%", 32.6, 5.5, 1, 34, 45, {"anaemia": -0.95}),
    Item(51279, "Red Blood Cells", "Hematology", "m/uL", 3.65, 0.65, 2, 3.9, 5.2, {"anaemia": -0.9}),
    Item(51301, "White Blood Cells", "Hematology", "K/uL", 2.25, 0.45, 1, 4, 10, {"shock": 0.8}, True),
    Item(51265, "Platelet Count", "Hematology", "K/uL", 5.3, 0.45, 0, 150, 400, {"liver": -0.6, "shock": 0.2}, True),
    Item(50878, "Asparate Aminotransferase (AST)", "Chemistry", "IU/L", 3.6, 0.8, 0, 0, 40, {"liver": 0.85}, True),
    Item(50861, "Alanine Aminotransferase (ALT)", "Chemistry", "IU/L", 3.4, 0.8, 0, 0, 40, {"liver": 0.85}, True),
    Item(50885, "Bilirubin, Total", "Chemistry", "mg/dL", -0.3, 0.75, 1, 0, 1.5, {"liver": 0.75}, True),
    Item(51237, "INR(PT)", "Hematology", "", 0.25, 0.25, 1, 0.9, 1.1, {"liver": 0.7}, True),
    Item(51274, "PT", "Hematology", "sec", 2.65, 0.22, 1, 9.4, 12.5, {"liver": 0.7}, True),
    Item(50820, "pH", "Blood Gas", "units", 7.38, 0.06, 2, 7.35, 7.45, {"acidosis": -0.85}),
    Item(50818, "pCO2", "Blood Gas", "mm Hg", 41, 7, 0, 35, 45, {"acidosis": -0.4, "shock": -0.2}),
    Item(50821, "pO2", "Blood Gas", "mm Hg", 4.7, 0.35, 0, 85, 105, {"shock": -0.5}, True),
    Item(50813, "Lactate", "Blood Gas", "mmol/L", 0.55, 0.5, 1, 0.5, 2.0, {"shock": 0.6, "acidosis": 0.6}, True),
    Item(51003, "Troponin T", "Chemistry", "ng/mL", -3.4, 1.1, 2, 0, 0.01, {"shock": 0.5, "renal": 0.4}, True),
    Item(50889, "C-Reactive Protein", "Chemistry", "mg/L", 3.2, 1.0, 1, 0, 5, {"shock": 0.8}, True),
)

CHARTS = (
    Item(220045, "Heart Rate", "Routine Vital Signs", "bpm", 86, 15, 0, 60, 100, {"shock": 0.75, "anaemia": 0.25}),
    Item(220210, "Respiratory Rate", "Respiratory", "insp/min", 19, 4.5, 0, 12, 20, {"acidosis": 0.6, "shock": 0.4}),
    Item(220277, "O2 saturation pulseoxymetry", "Respiratory", "%", 96.3, 1.6, 0, 92, 100, {"shock": -0.5}),
    Item(
        220179,
        "Non Invasive Blood Pressure systolic",
        "Routine Vital Signs",
        "mmHg",
        120,
        18,
        0,
        90,
        140,
        {"shock": -0.8},
    ),
    Item(
        220180,
        "Non Invasive Blood Pressure diastolic",
        "Routine Vital Signs",
        "mmHg",
        65,
        12,
        0,
        60,
        90,
        {"shock": -0.8},
    ),
    Item(
        220181, "Non Invasive Blood Pressure mean", "Routine Vital Signs", "mmHg", 80, 13, 0, 65, 105, {"shock": -0.85}
    ),
    Item(223761, "Temperature Fahrenheit", "Routine Vital Signs", "°F", 98.5, 1.0, 1, 96.8, 100.4, {"shock": 0.7}),
    Item(223762, "Temperature Celsius", "Routine Vital Signs", "°C", 36.95, 0.55, 1, 36, 38, {"shock": 0.7}),
    Item(225664, "Glucose finger stick (range 70-100)", "Labs", "", 4.88, 0.32, 0, 70, 100, {"sugar": 0.9}, True),
    Item(220739, "GCS - Eye Opening", "Neurological", "", 3.4, 0.8, 0, 1, 4, {"shock": -0.75}),
    Item(223900, "GCS - Verbal Response", "Neurological", "", 4.0, 1.2, 0, 1, 5, {"shock": -0.75}),
    Item(223901, "GCS - Motor Response", "Neurological", "", 5.5, 0.8, 0, 1, 6, {"shock": -0.75}),
    Item(226512, "Admission Weight (Kg)", "General", "kg", 81, 17, 1, 40, 150, {}),
)

LAB_TEXTS = {
    51487: ("Nitrite", ("NEG", "NEG", "NEG", "POS")),
    51464: ("Bilirubin", ("NEG", "NEG", "NEG", "SM")),
    51984: ("Ketone", ("NEG", "NEG", "TR", "10")),
    51466: ("Blood", ("NEG", "SM", "MOD", "LG")),
    50941: ("Hepatitis B Surface Antigen", ("NEG", "NEG", "NEG", "POS")),
}
"""Lab items that answer in words, with the words they draw from."""

CHART_TEXTS = {220048: ("Heart Rhythm", ("SR (Sinus Rhythm)", "ST (Sinus Tachycardia)", "AF (Atrial Fibrillation)"))}

PANELS = (
    ((50912, 51006, 50971, 50983, 50902, 50882, 50868, 50931), 0.85),
    ((51222, 51221, 51279, 51301, 51265), 0.7),
    ((50960, 50893, 50970), 0.5),
    ((50878, 50861, 50885), 0.2),
    ((51237, 51274), 0.2),
    ((50820, 50818, 50821, 50813), 0.25),
    ((51003,), 0.12),
    ((50889,), 0.08),
    ((51487, 51464, 51984, 51466), 0.07),
    ((50941,), 0.03),
)
"""Lab items that are drawn together, and the share of draws that order them."""

DIAGNOSES = (
    ("N179", 10, "Acute kidney failure, unspecified", "renal", 0.25),
    ("N189", 10, "Chronic kidney disease, unspecified", "renal", 0.2),
    ("5849", 9, "Acute kidney failure, unspecified", "renal", 0.1),
    ("A419", 10, "Sepsis, unspecified organism", "shock", 0.2),
    ("R6521", 10, "Severe sepsis with septic shock", "shock", 0.1),
    ("99592", 9, "Severe sepsis", "shock", 0.08),
    ("D649", 10, "Anemia, unspecified", "anaemia", 0.3),
    ("D62", 10, "Acute posthemorrhagic anemia", "anaemia", 0.15),
    ("2859", 9, "Anemia, unspecified", "anaemia", 0.12),
    ("K7460", 10, "Unspecified cirrhosis of liver", "liver", 0.1),
    ("K7290", 10, "Hepatic failure, unspecified without coma", "liver", 0.07),
    ("5715", 9, "Cirrhosis of liver without mention of alcohol", "liver", 0.06),
    ("E872", 10, "Acidosis", "acidosis", 0.2),
    ("2762", 9, "Acidosis", "acidosis", 0.1),
    ("E871", 10, "Hypo-osmolality and hyponatremia", "salt", 0.1),
    ("E870", 10, "Hyperosmolality and hypernatremia", "salt", 0.12),
    ("E119", 10, "Type 2 diabetes mellitus without complications", "sugar", 0.3),
    ("E1122", 10, "Type 2 diabetes mellitus with diabetic chronic kidney disease", "sugar", 0.12),
    ("25000", 9, "Diabetes mellitus without mention of complication, type II or unspecified type", "sugar", 0.15),
    ("I10", 10, "Essential (primary) hypertension", "", 0.45),
    ("4019", 9, "Unspecified essential hypertension", "", 0.25),
    ("E785", 10, "Hyperlipidemia, unspecified", "", 0.35),
    ("I2510", 10, "Atherosclerotic heart disease of native coronary artery without angina pectoris", "", 0.25),
    ("I4891", 10, "Unspecified atrial fibrillation", "", 0.2),
    ("J9601", 10, "Acute respiratory failure with hypoxia", "shock", 0.15),
    ("Z87891", 10, "Personal history of nicotine dependence", "", 0.25),
    ("F329", 10, "Major depressive disorder, single episode, unspecified", "", 0.15),
    ("K219", 10, "Gastro-esophageal reflux disease without esophagitis", "", 0.25),
)
"""Code, ICD version, title, the cause that makes it likelier, and its share of admissions."""


def loadings(items: tuple[Item, ...]) -> NDArray[np.float64]:
    """Return how strongly each item follows each hidden cause, `(n_items, n_factors)`."""
    return np.array([[item.causes.get(name, 0.0) for name in FACTORS] for item in items])


ITEMS = LABS + CHARTS
"""Every numeric item; its place here is the item index that the generator works with."""

LIMITS = {220277: (60, 100), 220739: (1, 4), 223900: (1, 5), 223901: (1, 6), 226512: (35, 200)}
"""Where a scale ends, for items whose numbers would otherwise run past it."""

TEXTS = {**LAB_TEXTS, **CHART_TEXTS}
ITEM_IDS = np.array([item.itemid for item in ITEMS] + list(TEXTS))
"""The `itemid` of an item index: numeric items first, then those that answer in words."""

INDEX = {int(itemid): index for index, itemid in enumerate(ITEM_IDS)}
