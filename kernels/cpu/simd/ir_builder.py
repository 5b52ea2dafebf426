"""Short names for LLVM vector instructions, in which the intrinsics of this folder are written."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np.numpy_support import as_dtype

from . import cpu_info

INDEX, LANE = ir.IntType(64), ir.IntType(32)
LINE = 64  # bytes of a cache line


class Emitter:
    """Emits instructions on vectors of one element type and one length."""

    def __init__(self, builder, zero, lanes):
        self.builder = builder
        self.element = ir.FloatType() if zero == types.float32 else ir.DoubleType()
        self.size = 4 if zero == types.float32 else 8
        self.lanes = lanes
        self.vector = ir.VectorType(self.element, lanes)
        name = f"llvm.fmuladd.v{lanes}f{8 * self.size}"
        signature = ir.FunctionType(self.vector, [self.vector] * 3)
        self._multiply_add = cgutils.get_or_insert_function(builder.module, signature, name)

    def pointer(self, address, element=None):
        return self.builder.inttoptr(address, (element or self.element).as_pointer())

    def at(self, pointer, offset):
        return self.builder.gep(pointer, [offset if isinstance(offset, ir.Value) else INDEX(offset)])

    def load(self, pointer, offset=0):
        """Load the vector at pointer + offset (in elements), at any alignment."""
        loaded = self.builder.load(self.builder.bitcast(self.at(pointer, offset), self.vector.as_pointer()))
        loaded.align = self.size
        return loaded

    def store(self, vector, pointer, offset=0):
        target = self.builder.bitcast(self.at(pointer, offset), self.vector.as_pointer())
        self.builder.store(vector, target).align = self.size

    def first_lanes(self, count):
        """Return the mask of the first `count` lanes."""
        numbers = ir.Constant(ir.VectorType(LANE, self.lanes), list(range(self.lanes)))
        first = self.builder.insert_element(
            ir.Constant(numbers.type, ir.Undefined), self.builder.trunc(count, LANE), LANE(0)
        )
        counts = self.shuffle(first, first, [0] * self.lanes)
        return self.builder.icmp_unsigned("<", numbers, counts)

    def load_masked(self, mask, pointer, offset=0):
        """Load the lanes of the mask, and zero to the others, whose memory is not touched."""
        source = self.builder.bitcast(self.at(pointer, offset), self.vector.as_pointer())
        function = self._masked("load", self.vector, [source.type, LANE, mask.type, self.vector])
        return self.builder.call(function, [source, LANE(self.size), mask, self.constant(0.0)])

    def store_masked(self, mask, vector, pointer, offset=0):
        """Store the lanes of the mask."""
        target = self.builder.bitcast(self.at(pointer, offset), self.vector.as_pointer())
        function = self._masked("store", ir.VoidType(), [self.vector, target.type, LANE, mask.type])
        self.builder.call(function, [vector, target, LANE(self.size), mask])

    def _masked(self, verb, result, arguments):
        number = f"v{self.lanes}f{8 * self.size}"
        signature = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.masked.{verb}.{number}.p0{number}")

    def prefetch(self, pointer, count):
        """Bring `count` elements to the first-level cache."""
        signature = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), *[LANE] * 3])
        function = cgutils.get_or_insert_function(self.builder.module, signature, "llvm.prefetch.p0")
        for at in [*range(0, count, LINE // self.size), count - 1]:
            address = self.builder.bitcast(self.at(pointer, at), ir.IntType(8).as_pointer())
            self.builder.call(function, [address, LANE(0), LANE(3), LANE(1)])

    def scalar(self, pointer, offset=0):
        return self.builder.load(self.at(pointer, offset))

    def splat(self, scalar):
        first = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), scalar, LANE(0))
        return self.shuffle(first, first, [0] * self.lanes)

    def shuffle(self, low, high, lanes):
        return self.builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(LANE, len(lanes)), lanes))

    def either(self, condition, then, otherwise):
        """Emit then() where the condition holds and otherwise() where not; return the values that they return."""
        ends = []
        with self.builder.if_else(condition) as branches:
            for branch, emit in zip(branches, (then, otherwise), strict=True):
                with branch:
                    ends.append((emit() or [], self.builder.block))
        results = []
        for values in zip(*(values for values, _ in ends), strict=True):
            results.append(self.builder.phi(self.vector))
            for value, (_, block) in zip(values, ends, strict=True):
                results[-1].add_incoming(value, block)
        return results

    def constant(self, value):
        return ir.Constant(self.vector, [value] * self.lanes)

    def multiply_add(self, a, b, c):
        return self.builder.call(self._multiply_add, [a, b, c])

    def sums_of_lanes(self, vectors):
        """Sum the lanes of each vector; return one vector of the sums. Their number is a power of two, at most `lanes`.

        The halves of a vector are added first, always in the same order; two vectors share each addition.
        """
        used = width = self.lanes
        while width > 1:
            width //= 2
            low = [start + lane for start in range(0, used, 2 * width) for lane in range(width)]
            if len(vectors) > 1:
                low += [used + lane for lane in low]
                pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
            else:
                pairs, used = [(vectors[0], vectors[0])], used // 2
            high = [lane + width for lane in low]
            vectors = [self.builder.fadd(self.shuffle(a, b, low), self.shuffle(a, b, high)) for a, b in pairs]
        return vectors[0]

    def accumulate(self, count, starts, step, pointers=(), unroll=1):
        """Emit a loop of `count` >= 1 rounds: `step(round, accumulators, ...)` returns the next accumulators.

        `pointers` are pairs of a pointer and the elements by which it advances each round; step is given their values.
        `unroll` rounds are computed between two jumps.
        """
        if unroll == 1:
            return self.loop(count, starts, step, pointers, at_least_once=True)[0]
        builder, many = self.builder, INDEX(unroll)
        strides = [stride if isinstance(stride, ir.Value) else INDEX(stride) for _, stride in pointers]

        def steps(index, accumulators, *moving):
            for number in range(unroll):
                offsets = [builder.mul(INDEX(number), stride) for stride in strides]
                here = [self.at(pointer, offset) for pointer, offset in zip(moving, offsets, strict=True)]
                accumulators = step(builder.add(builder.mul(index, many), INDEX(number)), accumulators, *here)
            return accumulators

        rounds, rest = builder.udiv(count, many), builder.urem(count, many)
        done = builder.sub(count, rest)
        far = [(pointer, builder.mul(many, stride)) for (pointer, _), stride in zip(pointers, strides, strict=True)]
        sums, ends = self.loop(rounds, starts, steps, far)

        def last(index, accumulators, *moving):
            return step(builder.add(done, index), accumulators, *moving)

        return self.loop(rest, sums, last, list(zip(ends, strides, strict=True)))[0]

    def loop(self, count, starts, step, pointers, at_least_once=False):
        """Emit a loop of `count` rounds; return the accumulators and pointers after it."""
        builder = self.builder
        before, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        if at_least_once:
            builder.branch(body)
        else:
            builder.cbranch(builder.icmp_signed(">", count, INDEX(0)), body, after)
        builder.position_at_end(body)
        index = builder.phi(INDEX)
        index.add_incoming(INDEX(0), before)
        first = [*starts, *(pointer for pointer, _ in pointers)]
        values = [builder.phi(value.type) for value in first]
        accumulators, moving = values[: len(starts)], values[len(starts) :]
        results = [*step(index, accumulators, *moving)]
        results += [self.at(here, stride) for here, (_, stride) in zip(moving, pointers, strict=True)]
        following = builder.add(index, INDEX(1))
        index.add_incoming(following, body)
        for value, start, result in zip(values, first, results, strict=True):
            value.add_incoming(start, before)
            value.add_incoming(result, body)
        keep_rolled(builder.module, builder.cbranch(builder.icmp_signed("<", following, count), body, after))
        builder.position_at_end(after)
        if not at_least_once:
            ends = [builder.phi(value.type) for value in first]
            for end, start, result in zip(ends, first, results, strict=True):
                end.add_incoming(start, before)
                end.add_incoming(result, body)
            results = ends
        return results[: len(starts)], results[len(starts) :]


def keep_rolled(module, branch):
    """Keep LLVM from unrolling the loop that ends in `branch`: unrolled, its accumulators spill."""

    class Itself(ir.MDValue):
        def __hash__(self):
            return id(self)

        def __eq__(self, other):
            return self is other

        def descr(self, buffer):
            buffer += (f"!{{ {self.get_reference()}, {disable.get_reference()} }}\n",)

    disable = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    branch.set_metadata("llvm.loop", Itself(module, [disable], name=str(len(module.metadata))))


def in_strips(builder, zero, count, body):
    """Emit `body(emit, start)` for adjacent vectors that cover `count` elements: full ones, then shorter ones."""
    lanes = cpu_info.lanes(as_dtype(zero))
    full = builder.and_(count, INDEX(-lanes))
    with cgutils.for_range_slice(builder, INDEX(0), full, INDEX(lanes)) as (start, _):
        body(Emitter(builder, zero, lanes), start)
    start, lanes = full, lanes // 2
    while lanes:
        rest = builder.and_(count, INDEX(lanes))
        with builder.if_then(builder.icmp_unsigned("!=", rest, INDEX(0))):
            body(Emitter(builder, zero, lanes), start)
        start, lanes = builder.add(start, rest), lanes // 2


def in_overlapping_strips(builder, zero, rows, count, body):
    """Emit `body(emit, row, start)` for vectors of one length that cover `count` elements of each of `rows` rows.

    The last vector of a row overlaps the previous one, so `body` must be safe to repeat. For short rows of odd length
    this takes fewer steps and branches than `in_strips`.
    """
    lanes = cpu_info.lanes(as_dtype(zero))
    sizes = sorted({lanes, lanes // 2, max(1, lanes // 4), 1}, reverse=True)
    done = builder.append_basic_block()
    for size in sizes:
        here, after = builder.append_basic_block(), builder.append_basic_block()
        builder.cbranch(builder.icmp_signed(">=", count, INDEX(size)), here, after)
        builder.position_at_end(here)
        last = builder.sub(count, INDEX(size))
        each_row = cgutils.for_range_slice(builder, INDEX(0), rows, INDEX(1))
        each_vector = cgutils.for_range_slice(builder, INDEX(0), count, INDEX(size))
        with each_row as (row, _), each_vector as (start, _):
            start = builder.select(builder.icmp_signed("<", start, last), start, last)
            body(Emitter(builder, zero, size), row, start)
        builder.branch(done)
        builder.position_at_end(after)
    builder.branch(done)
    builder.position_at_end(done)
