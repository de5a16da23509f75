"""What the benchmark takes for one nodule of several readers."""

from benchmarks.reading import OUTLINED, SMALLER, readers_nodules

MARKS = """patient,reader,mark_id,kind,x_lps_mm,y_lps_mm,z_lps_mm,equiv_sphere_diam_mm
P-1,0,a,nodule_ge3mm,10,20,30,8
P-1,1,b,nodule_ge3mm,12,20,30,10
P-1,2,c,nodule_lt3mm,11,23,30,
P-1,0,d,nodule_lt3mm,60,20,30,
P-1,0,e,non_nodule_ge3mm,90,20,30,
P-2,0,f,nodule_ge3mm,10,20,30,8
"""


def test_marks_of_one_place_are_one_nodule_of_several_readers(tmp_path):
    file = tmp_path / "marks.csv"
    file.write_text(MARKS)
    (large, large_kind, of_large), (small, small_kind, of_small) = readers_nodules(file, "P-1")
    assert (large_kind, of_large, large.diameter_mm) == (OUTLINED, 3, 9.0)
    assert large.centre_mm == (11.0, 21.0, 30.0)
    assert (small_kind, of_small, small.centre_mm) == (SMALLER, 1, (60.0, 20.0, 30.0))
