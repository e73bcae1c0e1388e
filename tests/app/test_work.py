"""What the page's program does: photos kept within limits, masks taken, fitted, segmented and handed back."""

import csv
import io
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from fsjax.app.session import Limits, RefusedError
from fsjax.segmenter.segmentation import enlarged
from tests.app.conftest import SEGMENTER, Browser, photo, pixels, runs, serving


def refused(status, answer):
    """Returns the sentence of an answer that refuses with a status."""
    found, value = answer
    assert (found, list(value)) == (status, ["error"]), value
    text = value["error"]
    assert text.endswith(".")
    assert text.count(". ") == 0
    return text


def test_what_is_found_is_what_the_segmenter_finds(browser):
    shown, query = [photo(0), photo(1)], photo(2, 40, 60)
    numbers, (status, value) = browser.fit(*shown)
    assert status == 200
    assert value["warnings"] == []
    assert [len(value["notes"][str(n)]) for n in numbers] == [2, 2]
    asked = browser.add(query[0], "a b/ü<.jpg")
    status, value = browser.ask("POST", "/results", {"photo": asked, "threshold": None})
    assert (status, value["photo"], value["pixels"]) == (200, asked, 2400)

    fitted = SEGMENTER.fit(
        [pixels(p) for p, _ in shown], [mask for _, mask in shown], classes=["red", "blue"]
    )
    expected = fitted.segment(pixels(query[0]))
    assert expected.area.all()
    status, headers, mask = browser.raw("GET", f"/sessions/{browser.session}/results/{asked}/mask")
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%BC_.png"
    np.testing.assert_array_equal(pixels(mask), expected.mask)
    for n, found in enumerate(value["classes"]):
        assert found["name"] == ("red", "blue")[n]
        assert found["area"] == expected.area[n]
        for name in ("presence", "similarity", "confidence"):
            np.testing.assert_allclose(found[name], getattr(expected, name)[n], rtol=1e-6)
    heat = Image.open(io.BytesIO(browser.ask("GET", f"/results/{asked}/probability/2")[1]))
    np.testing.assert_allclose(np.asarray(heat) / 255, expected.probability(2), atol=0.51 / 255)
    assert Image.open(io.BytesIO(browser.ask("GET", f"/results/{asked}/overlay")[1])).size == (60, 40)
    alike = Image.open(io.BytesIO(browser.ask("GET", f"/results/{asked}/similarity/2")[1]))
    wanted = enlarged(np.clip(expected.cosines[..., 1], 0, 1), (40, 60))
    np.testing.assert_allclose(np.asarray(alike) / 255, wanted, atol=2 / 255)  # rounded twice more
    packed = browser.ask("GET", "/results.zip")[1]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        np.testing.assert_array_equal(pixels(archive.read("similarity/ü_.blue.png")), np.asarray(alike))
    for wrong in (0, 3):
        refused(404, browser.ask("GET", f"/results/{asked}/similarity/{wrong}"))


def test_a_presence_that_is_asked_for_takes_classes_away(browser):
    browser.fit(photo(0))
    asked = browser.add(photo(1)[0])
    _, value = browser.ask("POST", "/results", {"photo": asked})
    whole = pixels(browser.ask("GET", f"/results/{asked}/mask")[1])
    assert set(np.unique(whole)) == {0, 1, 2}
    low, high = sorted(range(2), key=lambda n: value["classes"][n]["presence"])
    between = sum(found["presence"] for found in value["classes"]) / 2
    kept = pixels(browser.ask("GET", f"/results/{asked}/mask?min_presence={between}")[1])
    np.testing.assert_array_equal(kept, np.where(whole == low + 1, 0, whole))
    packed = browser.ask("GET", f"/results.zip?min_presence={between}")[1]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("summary.csv"))))
        np.testing.assert_array_equal(pixels(archive.read("masks/photo_2.png")), kept)
    assert [rows[n]["found"] for n in (low, high)] == ["no", "yes"]
    assert [int(rows[n]["area"]) for n in (low, high)] == [0, (whole == high + 1).sum()]
    for wrong in ("nan", "-1", "2", "much"):
        refused(400, browser.ask("GET", f"/results/{asked}/mask?min_presence={wrong}"))


def test_what_was_found_is_saved_without_a_support_that_was_removed(browser):
    (first, _), _ = browser.fit(photo(0), photo(1))
    asked = browser.add(photo(2)[0])
    assert browser.ask("POST", "/results", {"photo": asked})[0] == 200
    assert browser.ask("DELETE", f"/photos/{first}") == (200, {})
    status, packed = browser.ask("GET", "/results.zip")
    assert status == 200, packed
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert [name for name in archive.namelist() if name.startswith(("supports", "masks"))] == [
            "supports/photo.png",
            "masks/photo_2.png",
        ]
        np.testing.assert_array_equal(pixels(archive.read("supports/photo.png")), photo(1)[1])


def test_photos_are_shown_upright_and_kept_as_they_came(browser):
    picture, exif = Image.fromarray(pixels(photo(0)[0])), Image.Exif()
    exif[0x0112] = 6
    encoded = io.BytesIO()
    picture.transpose(Image.Transpose.ROTATE_90).save(encoded, "JPEG", exif=exif, quality=95)
    status, value = browser.ask("POST", "/photos", body=encoded.getvalue(), **{"X-Name": "a.jpg"})
    assert (status, value["height"], value["width"]) == (201, 32, 48)
    shown = pixels(browser.ask("GET", f"/photos/{value['photo']}")[1])
    assert np.abs(shown.astype(int) - np.asarray(picture)).mean() < 12


MASK = photo(0)[1]
ONLY_RED = np.where(MASK == 1, 1, 0)
ASKED = {
    "There are 0 painted photos: give 1 to 20.": {"supports": [], "classes": ["red"]},
    "supports is None: give a list of different numbers.": {"classes": ["red"]},
    "supports is [1, 1]: give a list of different numbers.": {"supports": [1, 1], "classes": ["red"]},
    "supports is [True]: give a list of different numbers.": {"supports": [True], "classes": ["red"]},
    "This photo is not there any more: add it again.": {"supports": [99], "classes": ["red"]},
    "Nothing is painted on photo.png: paint on it, or remove it.": {"supports": [2], "classes": ["red"]},
    "Nothing is painted as blue: paint it, or remove the class.": {
        "supports": [1],
        "classes": ["red", "blue"],
    },
    "There are 0 classes: the page takes 1 to 6.": {"supports": [1], "classes": []},
    "There are 7 classes: the page takes 1 to 6.": {"supports": [1], "classes": list("abcdefg")},
    "A class has no name: give it one.": {"supports": [1], "classes": [" \n"]},
    "Two classes have the same name: give them different ones.": {"supports": [1], "classes": ["a", "a "]},
    "classes is no list of names.": {"supports": [1], "classes": [1]},
}


def test_what_cannot_be_fitted_is_refused_in_a_sentence(browser):
    for _ in range(2):
        browser.add(photo(0)[0])
    assert browser.ask("PUT", "/photos/1/mask", {"runs": runs(ONLY_RED)})[0] == 200
    for sentence, asked in ASKED.items():
        status, value = browser.ask("POST", "/fit", asked)
        assert (status in (400, 404, 422), value) == (True, {"error": sentence})
    for body in (b"", b"[]", b"{", b"\xff", b"[" * 100_000):
        assert refused(400, browser.ask("POST", "/fit", body=body)) == "The request holds no JSON object."
    assert refused(409, browser.ask("POST", "/results", {"photo": 1})).startswith("Nothing is painted yet")
    assert refused(404, browser.ask("GET", "/results.zip")).startswith("Nothing was found yet")
    assert refused(404, browser.ask("GET", "/photos/2/mask")) == "Nothing is painted on photo.png yet."


@pytest.mark.parametrize(
    "wrong",
    [None, [], [0], [0, 1535], [0, 1537], [0, 1536, 1], [7, 1536], [-1, 1536], [0, -1, 0, 1537],
     [0, 0, 0, 1536], [0, 1536.0], [True, 1536], ["0", 1536], [0, 10**30]],
)  # fmt: skip
def test_a_mask_of_another_size_or_kind_is_refused(browser, wrong):
    number = browser.add(photo(0)[0])
    answer = browser.ask("PUT", f"/photos/{number}/mask", {"runs": wrong})
    assert refused(400, answer) == "The mask is none of 32 x 48 pixels."


def test_what_is_no_photo_is_refused_by_its_name(browser):
    whole = photo(0)[0]
    for body in (b"", b"no photo", whole[: len(whole) // 2]):
        text = refused(422, browser.ask("POST", "/photos", body=body, **{"X-Name": "my%20cat%0a.jpg"}))
        assert text.startswith("my cat.jpg ")
    assert browser.ask("GET", "") == (200, {"photos": 0})


def test_uploads_photos_and_their_sum_are_limited():
    encoded = photo(0)[0]
    limits = Limits(upload=len(encoded) + 100, photos=3, session=int(2.5 * len(encoded)))
    with serving(limits) as server:
        browser = Browser(server).begin()
        answer = browser.ask("POST", "/photos", body=encoded + 101 * b" ")
        assert refused(413, answer) == "A photo may have 0 MB at most: make it smaller."
        first, _ = browser.add(encoded), browser.add(encoded)
        assert refused(413, browser.ask("POST", "/photos", body=encoded)).startswith(
            "The page holds 0 MB at most"
        )
        assert browser.ask("DELETE", f"/photos/{first}") == (200, {})
        browser.add(encoded)
        session = server.work.sessions.find(browser.session)
        assert session.taken == 2 * len(encoded)
        session.limits = Limits(photos=2)
        assert refused(413, browser.ask("POST", "/photos", body=encoded)).startswith(
            "The page holds 2 photos"
        )


def test_everything_that_is_kept_counts_until_it_goes(browser):
    session = browser.server.work.sessions.find(browser.session)
    encoded = photo(0)[0]
    (support,), _ = browser.fit(photo(0))
    asked = browser.add(photo(1)[0])
    for _ in range(2):
        assert browser.ask("POST", "/results", {"photo": asked})[0] == 200
        kept = sum(len(one.encoded) + len(one.mask) for one in session.photos.values())
        assert session.taken == kept + session.results[asked].weight > 2 * len(encoded)
    for number in (support, asked):
        assert browser.ask("DELETE", f"/photos/{number}")[0] == 200
    assert session.taken == 0


def test_sessions_are_few_and_forgotten_when_they_are_idle():
    with serving(Limits(sessions=2)) as server:
        first, second = Browser(server).begin(), Browser(server).begin()
        status, _, body = Browser(server).raw("POST", "/sessions")
        assert (status, b"The page is open 2 times already" in body) == (503, True)
        server.work.sessions.find(first.session).seen -= 1000
        third = Browser(server).begin()
        refused(410, first.ask("GET", ""))
        assert second.ask("GET", "")[0] == third.ask("GET", "")[0] == 200
        assert len(server.work.sessions) == 2


def test_a_session_sees_nothing_of_another(server):
    one, other = Browser(server).begin(), Browser(server).begin()
    one.fit(photo(0))
    asked = one.add(photo(1)[0])
    assert one.ask("POST", "/results", {"photo": asked})[0] == 200
    for path in (f"/photos/{asked}", "/photos/1/mask", f"/results/{asked}/mask", "/results.zip"):
        assert one.ask("GET", path)[0] == 200
        refused(404, other.ask("GET", path))


def test_sessions_at_the_same_time_get_their_own_answers(server):
    """One looks for red as class 1, the other for blue."""
    masks = {"red": np.where(MASK == 1, 1, 0), "blue": np.where(MASK == 2, 1, 0)}
    query = photo(5)[0]
    found, errors = {}, []

    def works(name):
        try:
            browser = Browser(server).begin()
            for _ in range(3):
                browser.fit((photo(0)[0], masks[name]), classes=(name,))
                asked = browser.add(query)
                assert browser.ask("POST", "/results", {"photo": asked})[0] == 200
                found.setdefault(name, []).append(pixels(browser.ask("GET", f"/results/{asked}/mask")[1]))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=works, args=(name,)) for name in masks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for name, mask in masks.items():
        expected = SEGMENTER.fit(pixels(photo(0)[0]), mask.astype(np.uint8)).segment(pixels(query)).mask
        assert len(found[name]) == 3
        for one in found[name]:
            np.testing.assert_array_equal(one, expected)


def test_a_result_of_masks_that_were_changed_meanwhile_is_not_kept(browser):
    browser.fit(photo(0))
    asked = browser.add(photo(1)[0])
    browser.ask("POST", "/results", {"photo": asked})
    session = browser.server.work.sessions.find(browser.session)
    before, found = session.fitted, session.results[asked]
    browser.fit(photo(2))
    assert session.results == {}
    with pytest.raises(RefusedError, match="changed meanwhile"):
        session.keep(asked, before, found)
