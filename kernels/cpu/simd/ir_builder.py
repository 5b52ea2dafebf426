"""Short names for LLVM vector instructions, in which the intrinsics of this folder are written."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np.numpy_support import as_dtype

from . import cpu_info

INDEX, LANE = ir.IntType(64), ir.IntType(32)


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

    def scalar(self, pointer, offset=0):
        return self.builder.load(self.at(pointer, offset))

    def splat(self, scalar):
        first = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), scalar, LANE(0))
        return self.shuffle(first, first, [0] * self.lanes)

    def shuffle(self, low, high, lanes):
        return self.builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(LANE, len(lanes)), lanes))

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

    def accumulate(self, count, starts, step):
        """Emit a loop of `count` >= 1 rounds: `step(round, accumulators)` returns the next accumulators."""
        builder = self.builder
        before, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(body)
        builder.position_at_end(body)
        index = builder.phi(INDEX)
        index.add_incoming(INDEX(0), before)
        accumulators = [builder.phi(self.vector) for _ in starts]
        for accumulator, start in zip(accumulators, starts, strict=True):
            accumulator.add_incoming(start, before)
        results = step(index, accumulators)
        following = builder.add(index, INDEX(1))
        index.add_incoming(following, body)
        for accumulator, result in zip(accumulators, results, strict=True):
            accumulator.add_incoming(result, body)
        keep_rolled(builder.module, builder.cbranch(builder.icmp_signed("<", following, count), body, after))
        builder.position_at_end(after)
        return results


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
