"""Vectors for compiled kernels, where the compiler does not find them by itself: 8 or 16 values in one register.

A `Lanes` stands for an LLVM vector while a numba intrinsic is built, so that its code reads like NumPy's. LLVM turns it
into the registers that the CPU has: one of AVX-512, two of AVX2, four of SSE.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

I1, I8, I16, I32, I64, F32 = (*map(ir.IntType, (1, 8, 16, 32, 64)), ir.FloatType())


class Lanes:
    """A vector value. Integers are signed where it matters; scalars in operations count for every lane."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value):
        self.builder, self.value = builder, value

    @property
    def count(self) -> int:
        return self.value.type.count

    @property
    def element(self) -> ir.Type:
        return self.value.type.element

    def _of(self, value) -> Lanes:
        return Lanes(self.builder, value)

    def _same(self, other) -> ir.Value:
        return (
            other.value
            if isinstance(other, Lanes)
            else constant(self.builder, self.element, [other] * self.count).value
        )

    def _apply(self, other, of_integers: str, of_floats: str = "") -> Lanes:
        name = of_floats if self.element == F32 else of_integers
        flags = ("contract",) if self.element == F32 else ()
        return self._of(getattr(self.builder, name)(self.value, self._same(other), flags=flags))

    def __add__(self, other) -> Lanes:
        return self._apply(other, "add", "fadd")

    def __sub__(self, other) -> Lanes:
        return self._apply(other, "sub", "fsub")

    def __mul__(self, other) -> Lanes:
        return self._apply(other, "mul", "fmul")

    def __truediv__(self, other) -> Lanes:
        return self._apply(other, "sdiv", "fdiv")

    def __and__(self, other) -> Lanes:
        return self._of(self.builder.and_(self.value, self._same(other)))

    def __or__(self, other) -> Lanes:
        return self._of(self.builder.or_(self.value, self._same(other)))

    def __lshift__(self, other) -> Lanes:
        return self._of(self.builder.shl(self.value, self._same(other)))

    def __rshift__(self, other) -> Lanes:
        """Fills with zeros."""
        return self._of(self.builder.lshr(self.value, self._same(other)))

    def _compare(self, sign: str, other) -> Lanes:
        compare = self.builder.fcmp_ordered if self.element == F32 else self.builder.icmp_signed
        return self._of(compare(sign, self.value, self._same(other)))

    def __lt__(self, other) -> Lanes:
        return self._compare("<", other)

    def __ge__(self, other) -> Lanes:
        return self._compare(">=", other)

    def is_not(self, other) -> Lanes:
        return self._compare("!=", other)

    def unsigned_less(self, other) -> Lanes:
        return self._of(self.builder.icmp_unsigned("<", self.value, self._same(other)))

    def where(self, mask: Lanes, other) -> Lanes:
        """These values where the mask is true, else `other`."""
        return self._of(self.builder.select(mask.value, self.value, self._same(other)))

    def minimum(self, other) -> Lanes:
        return self.where(self < other, other)

    def at_least(self, least) -> Lanes:
        """The greater of each and `least`; NaN becomes `least`."""
        return self.where(self >= least, least)

    def as_float(self) -> Lanes:
        return self._of(self.builder.sitofp(self.value, ir.VectorType(F32, self.count)))

    def as_int(self) -> Lanes:
        """Rounded towards zero; must be finite and in range."""
        return self._of(self.builder.fptosi(self.value, ir.VectorType(I32, self.count)))

    def bits(self) -> Lanes:
        """The patterns of float32 as integers."""
        return self._of(self.builder.bitcast(self.value, ir.VectorType(I32, self.count)))

    def as_floats_of_bits(self) -> Lanes:
        """Integers as the patterns of float32."""
        return self._of(self.builder.bitcast(self.value, ir.VectorType(F32, self.count)))

    def as_mask(self) -> ir.Value:
        """Lanes of booleans as the bits of one integer, the first lane lowest."""
        return self.builder.bitcast(self.value, ir.IntType(self.count))

    def as_ones(self) -> Lanes:
        """Booleans as 1 and 0."""
        return self._of(self.builder.zext(self.value, ir.VectorType(I32, self.count)))

    def narrow(self, element: ir.IntType) -> Lanes:
        return self._of(self.builder.trunc(self.value, ir.VectorType(element, self.count)))

    def lookup(self, table: ir.Value, element: ir.Type, bytes_each: int = 4) -> Lanes:
        """Elements of a table at these places, which count `bytes_each`; places must be valid."""
        found = ir.Constant(ir.VectorType(element, self.count), ir.Undefined)
        for lane in range(self.count):
            place = self.builder.extract_element(self.value, I32(lane))
            offset = self.builder.mul(self.builder.zext(place, I64), I64(bytes_each))
            value = self.builder.load(_pointer(self.builder, table, offset, element), align=bytes_each)
            found = self.builder.insert_element(found, value, I32(lane))
        return self._of(found)

    def widen(self) -> Lanes:
        """Signed integers as 32-bit ones."""
        return self._of(self.builder.sext(self.value, ir.VectorType(I32, self.count)))

    def load_rows(self, table: ir.Value, width: int) -> list[Lanes]:
        """Columns of the float32 rows at these places of a table [N, width]; width a power of two up to the count."""
        rows = []
        for lane in range(self.count):
            place = self.builder.zext(self.builder.extract_element(self.value, I32(lane)), I64)
            rows.append(load(self.builder, table, self.builder.mul(place, I64(width)), F32, width))
        parts = [transposed(rows[first : first + width]) for first in range(0, self.count, width)]
        return [joined([part[column] for part in parts]) for column in range(width)]

    def store_rows(self, table: ir.Value, columns: Sequence[Lanes]) -> None:
        """Writes as many float32 columns as lanes to the rows at these places of a table [N, count]."""
        for lane, row in enumerate(transposed(columns)):
            place = self.builder.zext(self.builder.extract_element(self.value, I32(lane)), I64)
            row.store(table, self.builder.mul(place, I64(self.count)))

    def store(self, table: ir.Value, start: ir.Value) -> None:
        """Writes the lanes side by side from element `start` of a table."""
        size = self.element.width // 8 if isinstance(self.element, ir.IntType) else 4
        offset = self.builder.mul(start, I64(size))
        self.builder.store(self.value, _pointer(self.builder, table, offset, self.value.type), align=size)


def _pointer(builder: ir.IRBuilder, table: ir.Value, offset: ir.Value, kind: ir.Type) -> ir.Value:
    start = builder.bitcast(table, I8.as_pointer())
    return builder.bitcast(builder.gep(start, [offset]), kind.as_pointer())


def constant(builder: ir.IRBuilder, element: ir.Type, values: Sequence) -> Lanes:
    return Lanes(
        builder,
        ir.Constant(
            ir.VectorType(element, len(values)),
            [element(float(value) if element == F32 else value) for value in values],
        ),
    )


def splat(builder: ir.IRBuilder, value: ir.Value, count: int) -> Lanes:
    """A scalar in every lane."""
    nothing = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    first = builder.insert_element(nothing, value, I32(0))
    return Lanes(
        builder, builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, count), [I32(0)] * count))
    )


def load(
    builder: ir.IRBuilder, table: ir.Value, start: ir.Value, element: ir.Type, count: int, stride: int = 1
) -> Lanes:
    """Elements start, start + stride, ... of a table."""
    size = 4 if element == F32 else element.width // 8
    offset = builder.mul(start, I64(size))
    whole = ir.VectorType(element, count * stride)
    value = builder.load(_pointer(builder, table, offset, whole), align=size)
    if stride > 1:
        picked = ir.Constant(ir.VectorType(I32, count), [I32(lane * stride) for lane in range(count)])
        value = builder.shuffle_vector(value, value, picked)
    return Lanes(builder, value)


def joined(parts: Sequence[Lanes]) -> Lanes:
    """Vectors of equal length one after the other."""
    while len(parts) > 1:
        everything = ir.Constant(ir.VectorType(I32, 2 * parts[0].count), [I32(i) for i in range(2 * parts[0].count)])
        parts = [
            Lanes(left.builder, left.builder.shuffle_vector(left.value, right.value, everything))
            for left, right in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def transposed(rows: Sequence[Lanes]) -> list[Lanes]:
    """As many rows as lanes, a power of two, turned into columns."""
    builder, count = rows[0].builder, len(rows)
    halves = [
        ir.Constant(ir.VectorType(I32, count), [I32(half + lane // 2 + count * (lane % 2)) for lane in range(count)])
        for half in (0, count // 2)
    ]
    # Each round deals the rows like a perfect shuffle does cards.
    for _ in range(count.bit_length() - 1):
        rows = [
            Lanes(builder, builder.shuffle_vector(rows[index].value, rows[index + count // 2].value, half))
            for index in range(count // 2)
            for half in halves
        ]
    return list(rows)


def bilinear(table: ir.Value, upper: Lanes, lower: Lanes, x_part: Lanes, y_part: Lanes) -> Lanes:
    """Averages of packed colors, four uint8 in an integer.

    Args:
        table: of int32. upper, lower: places of the upper and lower left neighbors; the right ones follow them and must
            be there even where they weigh nothing.
        x_part, y_part: how far to the right and down, in 1/256.
    """
    both = (x_part * y_part + 128) >> 8
    even = odd = x_part * 0 + 0x00800080
    for start, left_weight, right_weight in (
        (upper, (both - x_part - y_part) + 256, x_part - both),
        (lower, y_part - both, both),
    ):
        pair = start.lookup(table, I64)
        # Channels 0 and 2, and 1 and 3, lie in the 16-bit halves of integers, so that one product weighs two.
        for color, weight in ((pair.narrow(I32), left_weight), ((pair >> 32).narrow(I32), right_weight)):
            even, odd = even + (color & 0x00FF00FF) * weight, odd + ((color >> 8) & 0x00FF00FF) * weight
    return ((even >> 8) & 0x00FF00FF) | (odd & -0x00FF0100)
