"""What the page can have done: photos kept, masks taken, fitted, segmented, and handed back as files."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import numpy as np

from fsjax.app.exchange import Answer, Request, class_names, cleaned, in_json, numbers, painted, share
from fsjax.app.found import Found, archive, values_of
from fsjax.app.session import Limits, Photo, RefusedError, Session, Sessions
from fsjax.data.photo_files import pixels_of
from fsjax.prediction import MIN_PRESENCE, check_of_supports
from fsjax.prediction.encoding import distinct, indexed, jpeg
from fsjax.segmenter import Segmenter
from fsjax.segmenter.overlay import WAY_COLORS

MOST_SUPPORTS = 20
"""Their features are kept."""

PATIENCE = 20.0
"""Seconds that the end of the program waits for what is being computed."""

NAMELESS = "photo"


class Work:
    """Answers requests; one at a time decodes photos, and one at a time computes.

    Attributes:
      segmenter: that is used.
      about: what is said of it.
      sessions: that are open.
    """

    def __init__(self, segmenter: Segmenter, about: str, limits: Limits | None = None):
        self.segmenter, self.about = segmenter, about
        self.sessions = Sessions(limits or Limits())
        self._decoding, self._computing = threading.Lock(), threading.Lock()
        self._ended = False

    def end(self) -> None:
        """Begins nothing more, and waits for what is under way: Python must not end beneath it."""
        self._ended = True
        self._computing.acquire(timeout=PATIENCE)

    def begin(self, request: Request) -> Answer:
        """Begins a session, and says what the page has to know."""
        request.read()
        limits = self.sessions.limits
        return in_json(
            {
                "session": self.sessions.begin(), "model": self.about, "colors": WAY_COLORS,
                "min_presence": MIN_PRESENCE, "most_supports": MOST_SUPPORTS,
                "limits": {"upload": limits.upload, "photos": limits.photos},
            },
            201,
        )  # fmt: skip

    def ping(self, session: Session, request: Request) -> Answer:
        """Says that the session is still there."""
        return in_json({"photos": len(session.photos)})

    def add(self, session: Session, request: Request) -> Answer:
        """Keeps a photo."""
        session.check_photos()
        with session.room(request.length):
            encoded, name = request.read(), cleaned(request.name) or NAMELESS
            photo = Photo(name, encoded, self._pixels(encoded, name).shape[:2])
            number = session.add(photo)
        height, width = photo.size
        return in_json({"photo": number, "name": name, "height": height, "width": width}, 201)

    def remove(self, session: Session, request: Request, number: int) -> Answer:
        """Forgets a photo."""
        session.remove(number)
        return in_json({})

    def show(self, session: Session, request: Request, number: int) -> Answer:
        """Returns a photo as it is segmented, upright, as a JPEG."""
        photo = session.photo(number)
        return Answer(jpeg(self._pixels(photo.encoded, photo.name)), "image/jpeg")

    def paint(self, session: Session, request: Request, number: int) -> Answer:
        """Keeps the mask that is painted on a photo."""
        photo = session.photo(number)
        session.paint(number, indexed(painted(request.json().get("runs"), photo.size)))
        return in_json({})

    def mask(self, session: Session, request: Request, number: int) -> Answer:
        """Returns the mask that is painted on a photo, to be saved."""
        photo = session.photo(number)
        if not photo.mask:
            raise RefusedError(404, f"Nothing is painted on {photo.name} yet.")
        return Answer(photo.mask, "image/png", f"{_stem(photo.name)}.png")

    def fit(self, session: Session, request: Request) -> Answer:
        """Fits to what is painted, and says how well the supports find one another."""
        asked = request.json()
        supports = numbers("supports", asked.get("supports"))
        classes = class_names(asked.get("classes"))
        if not 1 <= len(supports) <= MOST_SUPPORTS:
            raise RefusedError(422, f"There are {len(supports)} painted photos: give 1 to {MOST_SUPPORTS}.")
        photos = [session.photo(number) for number in supports]
        masks = _masks(photos, classes)
        with self._alone():
            images = [self._pixels(photo.encoded, photo.name) for photo in photos]
            fitted = self.segmenter.fit(images, masks, classes=classes)
            checks = check_of_supports(fitted, [photo.name for photo in photos])
        session.fit(fitted, supports)
        notes = dict(zip(map(str, supports), checks.notes, strict=True))
        return in_json({"notes": notes, "warnings": checks.warnings})

    def segment(self, session: Session, request: Request) -> Answer:
        """Segments a photo, and says what was found."""
        asked = request.json()
        threshold = share("threshold", asked.get("threshold"))
        (number,) = numbers("photo", [asked.get("photo")])
        photo, fitted = session.photo(number), session.fitted
        if fitted is None:
            raise RefusedError(409, "Nothing is painted yet: paint the object first.")
        with self._alone():
            pixels = self._pixels(photo.encoded, photo.name)
            found = Found.of(fitted.segment(pixels, threshold=threshold))
        session.keep(number, fitted, found)
        height, width = photo.size
        return in_json(
            {"photo": number, "pixels": height * width, "classes": [vars(c) for c in found.classes]}
        )

    def overlay(self, session: Session, request: Request, number: int) -> Answer:
        """Returns a photo with what was found tinted and outlined."""
        photo, found = session.photo(number), session.result(number)
        return Answer(self._overlay(photo, found, request.share("min_presence")), "image/jpeg")

    def found(self, session: Session, request: Request, number: int) -> Answer:
        """Returns the mask that was found, to be saved."""
        labels = session.result(number).labels(request.share("min_presence"))
        return Answer(indexed(labels), "image/png", f"{_stem(session.photo(number).name)}.png")

    def probability(self, session: Session, request: Request, number: int, label: int) -> Answer:
        """Returns the probability of a class, in colours."""
        found = session.result(number)
        if not 1 <= label <= len(found.maps):
            raise RefusedError(404, f"There is no class {label}.")
        return Answer(found.heat(label), "image/png")

    def similarity(self, session: Session, request: Request, number: int, label: int) -> Answer:
        """Returns the cosine of a class, in colours."""
        found = session.result(number)
        if not 1 <= label <= len(found.cosines):
            raise RefusedError(404, f"There is no similarity to class {label}.")
        return Answer(found.similarity(label), "image/png")

    def archive(self, session: Session, request: Request) -> Answer:
        """Returns all masks, overlays and maps, and a table, to be saved as one file."""
        least = request.share("min_presence")
        supports, results = session.kept()
        if not results:
            raise RefusedError(404, "Nothing was found yet: segment the photos first.")
        names = distinct(_stem(photo.name) for photo in [*supports, *(photo for photo, _ in results)])
        masks = [(f"supports/{name}.png", photo.mask) for name, photo in zip(names, supports, strict=False)]
        named = [(name, *result) for name, result in zip(names[len(supports) :], results, strict=True)]
        files = (file for name, photo, found in named for file in self._files(name, photo, found, least))
        rows = (row for name, _, found in named for row in found.rows(name, least))
        return Answer(archive(chain(masks, files), rows), "application/zip", "found.zip")

    def _files(self, name: str, photo: Photo, found: Found, least: float) -> Iterator[tuple[str, bytes]]:
        """Yields what is saved of a photo under a name of its own."""
        yield f"masks/{name}.png", indexed(found.labels(least))
        yield f"overlays/{name}.jpg", self._overlay(photo, found, least)
        classes = distinct(_in_a_name(one.name) for one in found.classes)
        for class_name, grey in zip(classes, found.maps, strict=True):
            yield f"maps/{name}.{class_name}.png", grey
        for class_name, grey in zip(classes, found.similarities(), strict=False):
            yield f"similarity/{name}.{class_name}.png", grey

    def _overlay(self, photo: Photo, found: Found, least: float) -> bytes:
        return found.overlay(self._pixels(photo.encoded, photo.name), least)

    def _pixels(self, encoded: bytes, name: str) -> np.ndarray:
        with self._decoding:
            return pixels_of(encoded, name).values

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._computing:
            if self._ended:
                raise RefusedError(503, "The page's program is ending.")
            yield


IN_SESSION: dict[tuple[str, str], Callable[..., Answer]] = {
    ("GET", ""): Work.ping,
    ("POST", "/photos"): Work.add,
    ("GET", "/photos/N"): Work.show,
    ("DELETE", "/photos/N"): Work.remove,
    ("PUT", "/photos/N/mask"): Work.paint,
    ("GET", "/photos/N/mask"): Work.mask,
    ("POST", "/fit"): Work.fit,
    ("POST", "/results"): Work.segment,
    ("GET", "/results/N/overlay"): Work.overlay,
    ("GET", "/results/N/mask"): Work.found,
    ("GET", "/results/N/probability/N"): Work.probability,
    ("GET", "/results/N/similarity/N"): Work.similarity,
    ("GET", "/results.zip"): Work.archive,
}
"""By method, and by what follows a session's name in the address, where N is a number."""


def _masks(photos: list[Photo], classes: list[str]) -> list[np.ndarray]:
    """Returns what is painted on photos.

    Raises:
      RefusedError: nothing is painted on one of them, or one of the classes on none.
    """
    masks = [values_of(photo.mask) if photo.mask else np.zeros(photo.size, np.uint8) for photo in photos]
    counts = np.array([np.bincount(mask.ravel(), minlength=256) for mask in masks])
    for photo, of_photo in zip(photos, counts, strict=True):
        if not of_photo[1:].any():
            raise RefusedError(422, f"Nothing is painted on {photo.name}: paint on it, or remove it.")
    for n, name in enumerate(classes, 1):
        if not counts[:, n].any():
            raise RefusedError(422, f"Nothing is painted as {name}: paint it, or remove the class.")
    if counts[:, len(classes) + 1 :].any():
        raise RefusedError(400, "A mask holds more classes than have names.")
    return masks


def _stem(name: str) -> str:
    """Returns what files that belong to a photo are called."""
    stem, dot, _ = name.replace("\\", "/").rpartition("/")[2].rpartition(".")
    return _in_a_name(stem if dot else name).lstrip(".") or NAMELESS


def _in_a_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name)
