"""What a page has given and been given, in memory alone, within limits."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from fsjax.app.found import Found
from fsjax.segmenter import Fitted


class RefusedError(Exception):
    """A request that is not answered as asked.

    Attributes:
      status: of HTTP.
      sentence: for the user.
    """

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


@dataclass(frozen=True)
class Limits:
    """What a page may take.

    Attributes:
      upload: bytes of a photo, or of any other request.
      photos: of a session.
      session: bytes of a session's photos, masks and results.
      sessions: at a time.
      idle: seconds without a request after which a session is dropped; an open page makes one a minute.
    """

    upload: int = 32 * 2**20
    photos: int = 300
    session: int = 512 * 2**20
    sessions: int = 8
    idle: float = 900.0


@dataclass(eq=False)
class Photo:
    """A photo that was given.

    Attributes:
      name: of its file.
      encoded: its bytes.
      size: height and width in pixels, upright.
      mask: what is painted on it, an indexed PNG as large; b"" where nothing was sent yet.
    """

    name: str
    encoded: bytes
    size: tuple[int, int]
    mask: bytes = b""


@dataclass(eq=False)
class Session:
    """One page's photos and what was found in them.

    Attributes:
      limits: of it.
      photos: by their numbers.
      supports: the numbers of those that `fitted` was fitted to.
      fitted: what segments; None before anything was.
      results: by the numbers of their photos, of `fitted`.
      taken: bytes.
    """

    limits: Limits
    photos: dict[int, Photo] = field(default_factory=dict)
    supports: list[int] = field(default_factory=list)
    fitted: Fitted | None = None
    results: dict[int, Found] = field(default_factory=dict)
    taken: int = 0
    seen: float = field(default_factory=time.monotonic)
    _next: int = 1
    _lock: AbstractContextManager[Any] = field(default_factory=threading.RLock)

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Takes so many bytes; they are given back where the block raises.

        Raises:
          RefusedError: there is no more room.
        """
        with self._lock:
            if self.taken + size > self.limits.session:
                most = self.limits.session / 2**20
                raise RefusedError(413, f"The page holds {most:,.0f} MB at most: remove photos from it.")
            self.taken += size
        try:
            yield
        except BaseException:
            with self._lock:
                self.taken -= size
            raise

    def check_photos(self) -> None:
        """Makes sure that one more photo may come.

        Raises:
          RefusedError: there are as many as may be.
        """
        if len(self.photos) >= self.limits.photos:
            raise RefusedError(
                413, f"The page holds {self.limits.photos} photos at most: remove some of them."
            )

    def add(self, photo: Photo) -> int:
        """Keeps a photo for which there is room, and returns its number."""
        with self._lock:
            self.check_photos()
            number, self._next = self._next, self._next + 1
            self.photos[number] = photo
            return number

    def photo(self, number: int) -> Photo:
        """Returns a photo.

        Raises:
          RefusedError: there is none of this number.
        """
        photo = self.photos.get(number)
        if photo is None:
            raise RefusedError(404, "This photo is not there any more: add it again.")
        return photo

    def paint(self, number: int, mask: bytes) -> None:
        """Keeps the mask of a photo in place of its earlier one."""
        with self._lock:
            photo = self.photo(number)
            with self.room(len(mask)):
                self.taken -= len(photo.mask)
                photo.mask = mask

    def remove(self, number: int) -> None:
        """Forgets a photo, its mask and its result."""
        with self._lock:
            photo = self.photo(number)
            del self.photos[number]
            self.taken -= len(photo.encoded) + len(photo.mask)
            self._forget(number)

    def fit(self, fitted: Fitted, supports: list[int]) -> None:
        """Keeps what segments; what was found before is forgotten."""
        with self._lock:
            for number in list(self.results):
                self._forget(number)
            self.fitted, self.supports = fitted, supports

    def keep(self, number: int, fitted: Fitted, found: Found) -> None:
        """Keeps a result, unless what found it has been replaced, or the photo removed, meanwhile."""
        with self._lock:
            if fitted is not self.fitted or number not in self.photos:
                raise RefusedError(409, "The masks or photos were changed meanwhile: segment again.")
            with self.room(found.weight):
                self._forget(number)
                self.results[number] = found

    def result(self, number: int) -> Found:
        """Returns what was found in a photo.

        Raises:
          RefusedError: nothing was yet.
        """
        found = self.results.get(number)
        if found is None:
            raise RefusedError(404, "Nothing was found in this photo yet: segment it.")
        return found

    def kept(self) -> tuple[list[Photo], list[tuple[Photo, Found]]]:
        """Returns the supports that are still there, and all photos in which something was found."""
        with self._lock:
            supports = [self.photos[number] for number in self.supports if number in self.photos]
            return supports, [(self.photos[number], found) for number, found in self.results.items()]

    def _forget(self, number: int) -> None:
        found = self.results.pop(number, None)
        self.taken -= found.weight if found else 0


class Sessions:
    """All sessions by their secret names, which nobody guesses."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def begin(self) -> str:
        """Begins a session and returns its name.

        Raises:
          RefusedError: there are as many as may be.
        """
        with self._lock:
            self._drop_idle()
            if len(self._sessions) >= self.limits.sessions:
                raise RefusedError(
                    503, f"The page is open {self.limits.sessions} times already: close it elsewhere first."
                )
            name = secrets.token_urlsafe(16)
            self._sessions[name] = Session(self.limits)
            return name

    def find(self, name: str) -> Session:
        """Returns a session.

        Raises:
          RefusedError: there is none of this name, or it was idle for too long.
        """
        with self._lock:
            self._drop_idle()
            session = self._sessions.get(name)
            if session is None:
                raise RefusedError(410, "This page's photos were let go: reload it and add them again.")
            session.seen = time.monotonic()
            return session

    def end(self, name: str) -> None:
        """Forgets a session."""
        with self._lock:
            self._sessions.pop(name, None)

    def __len__(self) -> int:
        return len(self._sessions)

    def _drop_idle(self) -> None:
        now = time.monotonic()
        for name, session in list(self._sessions.items()):
            if now - session.seen > self.limits.idle:
                del self._sessions[name]
