/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lapic.c - the local APIC: interrupts that wait, their priorities, the timer, interrupts to other processors
 *
 * Theory of operation. The registers are the same by page (xAPIC) and by MSR (x2APIC); what differs is the form of the identifiers and
 * of the command register, and that MSRs refuse what is reserved. Others post interrupts into the exchange; bt_lapic_collect()
 * takes them over, and the timer's when it is due. The timer counts nanoseconds at a divisor of 1, on the host's TSC, so that
 * a guest that sets its TSC does not move it; only the deadline mode is in the guest's. It holds one number: when it
 * interrupts next. LINT0 of the first processor is the line of the pair of 8259, LINT1 is wired to nothing.
 *
 * Spec: Intel SDM volume 3, chapter 10
 */
#include "engine/bt/space/lapic.h"

#include "engine/bt/space/host.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/system.h"

enum {
	ESR_SEND_VECTOR = 1 << 5,
	ESR_VECTOR = 1 << 6,
	ESR_REGISTER = 1 << 7,
	ESR_SHIFT = 8, /* errors since the register was last written are kept up there */
	TIMER_MODE = 3 << 17,
	TIMER_PERIODIC = 1 << 17,
	TIMER_DEADLINE = 2 << 17,
	SVR_VALID = 0x1ff,
	DIVIDE_VALID = 0xb,
	PERIOD_NS_MIN = 200000, /* of a periodic timer: no guest keeps its host busy with less */
	VECTOR_MIN = 16,
	BROADCAST_8 = 0xff,
};
#define BROADCAST   0xffffffffU
#define KHZ_UNKNOWN 1000000U /* until the manager has told: a test's processor */
#define NS_IN_MS    1000000U
#define ICR_VALID   0xcdfffU

static const uint32_t lvt_valid[LVT_COUNT] = {
	[LVT_CMCI] = 0x107ff,  [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERFORMANCE] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_ERROR] = 0x100ff,
};

static bool is_on(const struct bt_cpu *c)
{
	return c->apic_base & APIC_BASE_ON;
}

static bool is_x2(const struct bt_cpu *c)
{
	return (c->apic_base & (APIC_BASE_ON | APIC_BASE_X2)) == (APIC_BASE_ON | APIC_BASE_X2);
}

/* Sets of 256 vectors. */
static void set_bit(uint32_t set[8], unsigned n, bool on)
{
	if (on)
		set[n >> 5] |= 1U << (n & 31);
	else
		set[n >> 5] &= ~(1U << (n & 31));
}

static bool has_bit(const uint32_t set[8], unsigned n)
{
	return set[n >> 5] >> (n & 31) & 1;
}

static int highest(const uint32_t set[8])
{
	for (int i = 7; i >= 0; i--)
		if (set[i])
			return i * 32 + 31 - __builtin_clz(set[i]);
	return -1;
}

/* The timer's units. Both ways by parts, for the product has more than 64 bits. */
static uint64_t khz(const struct bt_cpu *c)
{
	return c->vm->tsc_khz ? c->vm->tsc_khz : KHZ_UNKNOWN;
}

static uint64_t ns_to_tsc(const struct bt_cpu *c, uint64_t ns)
{
	return ns / NS_IN_MS * khz(c) + ns % NS_IN_MS * khz(c) / NS_IN_MS;
}

static uint64_t tsc_to_ns(const struct bt_cpu *c, uint64_t tsc)
{
	return tsc / khz(c) * NS_IN_MS + tsc % khz(c) * NS_IN_MS / khz(c);
}

static unsigned timer_mode(const struct bt_cpu *c)
{
	return c->lapic.lvt[LVT_TIMER] & TIMER_MODE;
}

static unsigned divisor(const struct bt_cpu *c)
{
	unsigned d = c->lapic.timer_divide, n = (d & 3) | (d >> 1 & 4);

	return n == 7 ? 1 : 2U << n;
}

/* timer_count() - what is left; the deadline mode has none */
static uint32_t timer_count(const struct bt_cpu *c)
{
	uint64_t now = bt_host_tsc(), end = c->lapic.deadline, left;

	if (timer_mode(c) == TIMER_DEADLINE || end <= now)
		return 0;
	left = tsc_to_ns(c, end - now) / divisor(c) + 1;
	return left > c->lapic.timer_initial ? c->lapic.timer_initial : (uint32_t)left;
}

/* timer_start() - @count units from now */
static void timer_start(struct bt_cpu *c, uint32_t count)
{
	uint64_t ns = (uint64_t)count * divisor(c);

	c->lapic.deadline = count ? bt_host_tsc() + ns_to_tsc(c, ns) : 0;
	c->world->timer(c);
}

static void timer_stop(struct bt_cpu *c)
{
	c->lapic.deadline = 0;
	c->world->timer(c);
}

uint64_t bt_lapic_deadline(const struct bt_cpu *c)
{
	uint64_t end = c->lapic.deadline, now, guest_now;

	if (end == 0 || !is_on(c) || c->lapic.lvt[LVT_TIMER] & LVT_MASKED)
		return 0;
	if (timer_mode(c) != TIMER_DEADLINE)
		return end;
	now = bt_host_tsc();
	guest_now = now + c->tsc_offset;
	if (end <= guest_now)
		return now;
	return end - guest_now > UINT64_MAX - now ? UINT64_MAX : now + (end - guest_now);
}

uint64_t bt_lapic_tsc_deadline(const struct bt_cpu *c)
{
	return timer_mode(c) == TIMER_DEADLINE ? c->lapic.deadline : 0;
}

void bt_lapic_set_tsc_deadline(struct bt_cpu *c, uint64_t value)
{
	if (timer_mode(c) != TIMER_DEADLINE || !is_on(c))
		return;
	c->lapic.deadline = value;
	c->world->timer(c);
}

static void error_note(struct bt_cpu *c, uint32_t error)
{
	uint32_t lvt = c->lapic.lvt[LVT_ERROR];

	c->lapic.esr |= error << ESR_SHIFT;
	if (!(lvt & LVT_MASKED) && (lvt & 0xff) >= VECTOR_MIN)
		bt_lapic_post(c, lvt & 0xff, false);
}

void bt_lapic_post(struct bt_cpu *c, unsigned vector, bool level)
{
	if (!is_on(c) || !(c->lapic.svr & SVR_ENABLED))
		return;
	vector &= 0xff;
	if (vector < VECTOR_MIN) {
		error_note(c, ESR_VECTOR);
		return;
	}
	set_bit(c->lapic.tmr, vector, level);
	set_bit(c->lapic.irr, vector, true);
}

/* timer_expire() - when its time has come: the interrupt, and the next period */
static void timer_expire(struct bt_cpu *c)
{
	uint64_t now = bt_host_tsc(), end = c->lapic.deadline, period;

	if (end == 0 || end > (timer_mode(c) == TIMER_DEADLINE ? now + c->tsc_offset : now))
		return;
	if (!(c->lapic.lvt[LVT_TIMER] & LVT_MASKED))
		bt_lapic_post(c, c->lapic.lvt[LVT_TIMER] & 0xff, false);
	c->lapic.deadline = 0;
	if (timer_mode(c) == TIMER_PERIODIC && c->lapic.timer_initial) {
		period = (uint64_t)c->lapic.timer_initial * divisor(c);
		period = ns_to_tsc(c, period < PERIOD_NS_MIN ? PERIOD_NS_MIN : period);
		if (period == 0)
			period = 1;
		c->lapic.deadline = end + period;
		if (c->lapic.deadline <= now) /* periods nobody saw are one */
			c->lapic.deadline = now + period - (now - end) % period;
	}
	c->world->timer(c);
}

void bt_lapic_collect(struct bt_cpu *c)
{
	struct bt_exchange *x = c->exchange;

	timer_expire(c);
	if (!x)
		return;
	for (unsigned i = 0; i < 8; i++) {
		uint32_t bits, level;

		if (!__atomic_load_n(&x->posted[i], __ATOMIC_SEQ_CST))
			continue;
		/* Whoever posts sets @posted_level first. */
		bits = __atomic_exchange_n(&x->posted[i], 0, __ATOMIC_SEQ_CST);
		level = __atomic_fetch_and(&x->posted_level[i], ~bits, __ATOMIC_SEQ_CST) & bits;
		while (bits) {
			unsigned n = (unsigned)__builtin_ctz(bits);

			bits &= bits - 1;
			bt_lapic_post(c, i * 32 + n, level >> n & 1);
		}
	}
	if (__atomic_load_n(&x->nmi, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&x->nmi, 0, __ATOMIC_SEQ_CST))
		c->nmi_pending = true;
}

static uint32_t ppr(const struct bt_cpu *c)
{
	int serving = highest(c->lapic.isr);
	uint32_t class = serving < 0 ? 0 : (uint32_t)serving & 0xf0;

	return (c->lapic.tpr & 0xf0) >= class ? c->lapic.tpr & 0xff : class;
}

static uint32_t ldr(const struct bt_cpu *c)
{
	return is_x2(c) ? c->lapic.id >> 4 << 16 | 1U << (c->lapic.id & 15) : c->lapic.ldr;
}

bool bt_lapic_extint(const struct bt_cpu *c)
{
	const uint32_t lint0 = c->lapic.lvt[LVT_LINT0];

	if (!c->exchange || !__atomic_load_n(&c->exchange->extint, __ATOMIC_SEQ_CST))
		return false;
	return !is_on(c) || (!(lint0 & LVT_MASKED) && (lint0 >> ICR_MODE_SHIFT & 7) == IPI_EXTINT);
}

/* show() - what the manager has to know of this APIC to find who a logical destination means */
static void show(const struct bt_cpu *c)
{
	if (!c->exchange)
		return;
	__atomic_store_n(&c->exchange->ldr, ldr(c), __ATOMIC_RELAXED);
	__atomic_store_n(&c->exchange->dfr, c->lapic.dfr, __ATOMIC_RELAXED);
	__atomic_store_n(&c->exchange->x2, is_x2(c), __ATOMIC_RELAXED);
}

int bt_lapic_pending(const struct bt_cpu *c)
{
	int vector = is_on(c) ? highest(c->lapic.irr) : -1;

	return vector >= 0 && ((uint32_t)vector & 0xf0) > (ppr(c) & 0xf0) ? vector : -1;
}

void bt_lapic_accept(struct bt_cpu *c, unsigned vector)
{
	set_bit(c->lapic.irr, vector & 0xff, false);
	set_bit(c->lapic.isr, vector & 0xff, true);
}

static void eoi(struct bt_cpu *c)
{
	int vector = highest(c->lapic.isr);

	if (vector < 0)
		return;
	set_bit(c->lapic.isr, (unsigned)vector, false);
	if (has_bit(c->lapic.tmr, (unsigned)vector))
		c->world->eoi(c, (unsigned)vector);
}

bool bt_lapic_is_dest(const struct bt_cpu *c, uint32_t dest, bool logical)
{
	uint32_t mine = ldr(c);

	if (!is_on(c))
		return false;
	if (!logical) /* 0xff is nobody's own: BT_CPUS_MAX */
		return dest == BROADCAST || dest == BROADCAST_8 || dest == c->lapic.id;
	if (dest == BROADCAST)
		return true;
	if (is_x2(c))
		return dest >> 16 == mine >> 16 && dest & mine & 0xffff;
	mine >>= 24;
	if (c->lapic.dfr >> 28 == 0xf)
		return dest & mine & 0xff;
	return (dest >> 4 & 15) == mine >> 4 && dest & mine & 15;
}

/* self_ipi() - the part of an interrupt to processors that is for the one that sends it; INIT and startup do not go there */
static void self_ipi(struct bt_cpu *c, uint32_t low)
{
	switch (low >> ICR_MODE_SHIFT & 7) {
	case IPI_FIXED:
	case IPI_LOWEST: bt_lapic_post(c, low & 0xff, false); break;
	case IPI_NMI: c->nmi_pending = true; break;
	default: break;
	}
}

/* send() - what the command register says */
static void send(struct bt_cpu *c)
{
	uint32_t low = c->lapic.icr_low, mode = low >> ICR_MODE_SHIFT & 7, to = low >> ICR_TO_SHIFT & 3;
	struct bt_ipi ipi = { .dest = is_x2(c) ? c->lapic.icr_high : c->lapic.icr_high >> 24, .low = low };
	bool logical = low & ICR_LOGICAL, self;

	if (mode == IPI_INIT && low & ICR_LEVEL &&
	    !(low & ICR_ASSERT)) /* de-assert: not on these processors */
		return;
	if ((mode == IPI_FIXED || mode == IPI_LOWEST) && (low & 0xff) < VECTOR_MIN) {
		error_note(c, ESR_SEND_VECTOR);
		return;
	}
	if (!is_x2(c) && ipi.dest == BROADCAST_8)
		ipi.dest = BROADCAST;
	self = to == IPI_TO_SELF || to == IPI_TO_ALL ||
	       (to == IPI_TO_DEST && bt_lapic_is_dest(c, ipi.dest, logical));
	if (self)
		self_ipi(c, low);
	if (to == IPI_TO_SELF || (self && mode == IPI_LOWEST))
		return;
	if (self && to == IPI_TO_DEST && !logical && ipi.dest != BROADCAST)
		return;
	c->world->ipi(c, &ipi);
}

static int lvt_index(unsigned reg)
{
	return reg >= LAPIC_LVT && reg < LAPIC_LVT + LVT_COUNT - 1 ? (int)(reg - LAPIC_LVT) + LVT_TIMER : -1;
}

static void lvt_write(struct bt_cpu *c, unsigned i, uint32_t value)
{
	uint32_t was = c->lapic.lvt[i];

	if (i == LVT_TIMER)
		timer_expire(c); /* by the old rules first */
	if (i == LVT_TIMER && (value & TIMER_MODE) == TIMER_DEADLINE && !bt_has(c, 1, 0, 2, 24))
		value &= ~(uint32_t)TIMER_MODE;
	if (!(c->lapic.svr & SVR_ENABLED))
		value |= LVT_MASKED;
	c->lapic.lvt[i] = value & lvt_valid[i];
	if (i != LVT_TIMER)
		return;
	if ((was ^ value) & TIMER_DEADLINE)
		timer_stop(c);
	else
		c->world->timer(c);
}

static void svr_write(struct bt_cpu *c, uint32_t value)
{
	c->lapic.svr = value & SVR_VALID;
	if (value & SVR_ENABLED)
		return;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		c->lapic.lvt[i] |= LVT_MASKED;
	c->world->timer(c);
}

static void divide_write(struct bt_cpu *c, uint32_t value)
{
	uint32_t left;

	timer_expire(c);
	left = timer_count(c);
	c->lapic.timer_divide = value & DIVIDE_VALID;
	if (left)
		timer_start(c, left);
}

static void icr_write(struct bt_cpu *c, uint32_t value)
{
	c->lapic.icr_low = value & ICR_VALID & ~(uint32_t)ICR_BUSY;
	send(c);
}

/* common_write() - registers that both forms write alike. Return: false, there is none */
static bool common_write(struct bt_cpu *c, unsigned reg, uint32_t value)
{
	int lvt = lvt_index(reg);

	if (lvt >= 0) {
		lvt_write(c, (unsigned)lvt, value);
		return true;
	}
	switch (reg) {
	case LAPIC_TPR: c->lapic.tpr = value & 0xff; break;
	case LAPIC_EOI: eoi(c); break;
	case LAPIC_SVR: svr_write(c, value); break;
	case LAPIC_ESR: c->lapic.esr >>= ESR_SHIFT; break;
	case LAPIC_ICR: icr_write(c, value); break;
	case LAPIC_TIMER_INITIAL:
		if (timer_mode(c) == TIMER_DEADLINE)
			break;
		c->lapic.timer_initial = value;
		timer_start(c, value);
		break;
	case LAPIC_TIMER_DIVIDE: divide_write(c, value); break;
	default: return false;
	}
	return true;
}

static bool is_read_only(unsigned reg)
{
	return reg == LAPIC_ID || reg == LAPIC_VERSION || reg == LAPIC_PPR || reg == LAPIC_LDR ||
	       (reg >= LAPIC_ISR && reg < LAPIC_ESR) || reg == LAPIC_TIMER_CURRENT;
}

/* x2_is_valid() - does an MSR take the value? */
static bool x2_is_valid(const struct bt_cpu *c, unsigned reg, uint64_t value)
{
	int lvt = lvt_index(reg);

	if (is_read_only(reg))
		return false;
	if (lvt >= 0) { /* the bits that show a state are not refused */
		uint32_t shown = lvt == LVT_LINT0 || lvt == LVT_LINT1 ? 0x5000 : 0x1000;

		return !(value & ~(uint64_t)(lvt_valid[lvt] | shown)) &&
		       !(lvt == LVT_TIMER && (value & TIMER_MODE) == TIMER_MODE) &&
		       !(lvt == LVT_TIMER && value & TIMER_DEADLINE && !bt_has(c, 1, 0, 2, 24));
	}
	switch (reg) {
	case LAPIC_TPR:
	case LAPIC_SELF_IPI: return value <= 0xff;
	case LAPIC_EOI:
	case LAPIC_ESR: return value == 0;
	case LAPIC_SVR: return !(value & ~(uint64_t)SVR_VALID);
	case LAPIC_ICR: return !((uint32_t)value & ~(ICR_VALID | ICR_BUSY));
	case LAPIC_TIMER_INITIAL: return value <= UINT32_MAX;
	case LAPIC_TIMER_DIVIDE: return !(value & ~(uint64_t)DIVIDE_VALID);
	default: return false;
	}
}

static int x2_write(struct bt_cpu *c, unsigned reg, uint64_t value)
{
	if (!x2_is_valid(c, reg, value))
		return bt_raise_code(c, X86_GP, 0);
	if (reg == LAPIC_ICR)
		c->lapic.icr_high = (uint32_t)(value >> 32);
	if (reg == LAPIC_SELF_IPI && value >= VECTOR_MIN)
		bt_lapic_post(c, (unsigned)value, false);
	else if (reg == LAPIC_SELF_IPI)
		error_note(c, ESR_SEND_VECTOR);
	else
		common_write(c, reg, (uint32_t)value);
	return BT_OK;
}

int bt_lapic_write(struct bt_cpu *c, unsigned reg, uint64_t value)
{
	if (is_x2(c))
		return x2_write(c, reg, value);
	switch (reg) {
	case LAPIC_LDR:
		c->lapic.ldr = (uint32_t)value & 0xff000000;
		show(c);
		break;
	case LAPIC_DFR:
		c->lapic.dfr = (uint32_t)value | 0x0fffffff;
		show(c);
		break;
	case LAPIC_ICR_HIGH: c->lapic.icr_high = (uint32_t)value & 0xff000000; break;
	default:
		if (!common_write(c, reg, (uint32_t)value) && !is_read_only(reg))
			error_note(c, ESR_REGISTER);
	}
	return BT_OK;
}

/* common_read() - Return: false, there is none */
static bool common_read(const struct bt_cpu *c, unsigned reg, uint64_t *ret_value)
{
	int lvt = lvt_index(reg);

	if (lvt >= 0) {
		*ret_value = c->lapic.lvt[lvt];
		return true;
	}
	if (reg >= LAPIC_ISR && reg < LAPIC_ESR) {
		const uint32_t *set = reg < LAPIC_TMR ? c->lapic.isr :
				      reg < LAPIC_IRR ? c->lapic.tmr :
							c->lapic.irr;

		*ret_value = set[reg & 7];
		return true;
	}
	switch (reg) {
	case LAPIC_ID: *ret_value = is_x2(c) ? c->lapic.id : c->lapic.id << 24; break;
	case LAPIC_VERSION: *ret_value = LAPIC_VERSION_VALUE; break;
	case LAPIC_TPR: *ret_value = c->lapic.tpr; break;
	case LAPIC_PPR: *ret_value = ppr(c); break;
	case LAPIC_LDR: *ret_value = ldr(c); break;
	case LAPIC_SVR: *ret_value = c->lapic.svr; break;
	case LAPIC_ESR: *ret_value = c->lapic.esr & 0xff; break;
	case LAPIC_ICR: *ret_value = c->lapic.icr_low; break;
	case LAPIC_TIMER_INITIAL: *ret_value = c->lapic.timer_initial; break;
	case LAPIC_TIMER_CURRENT: *ret_value = timer_count(c); break;
	case LAPIC_TIMER_DIVIDE: *ret_value = c->lapic.timer_divide; break;
	default: return false;
	}
	return true;
}

int bt_lapic_read(struct bt_cpu *c, unsigned reg, uint64_t *ret_value)
{
	timer_expire(c);
	if (is_x2(c)) {
		if (!common_read(c, reg, ret_value))
			return bt_raise_code(c, X86_GP, 0);
		if (reg == LAPIC_ICR)
			*ret_value |= (uint64_t)c->lapic.icr_high << 32;
		return BT_OK;
	}
	switch (reg) {
	case LAPIC_APR:
	case LAPIC_EOI: *ret_value = 0; break;
	case LAPIC_DFR: *ret_value = c->lapic.dfr; break;
	case LAPIC_ICR_HIGH: *ret_value = c->lapic.icr_high; break;
	default:
		if (common_read(c, reg, ret_value))
			break;
		*ret_value = 0;
		error_note(c, ESR_REGISTER);
	}
	return BT_OK;
}

bool bt_lapic_has_page(const struct bt_cpu *c, uint64_t gpa)
{
	return is_on(c) && !is_x2(c) && (gpa ^ c->apic_base) >> 12 == 0;
}

void bt_lapic_init(struct bt_cpu *c)
{
	struct bt_lapic *l = &c->lapic;

	*l = (struct bt_lapic){ .id = l->id, .dfr = ~0U, .svr = 0xff };
	for (unsigned i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	show(c);
	c->world->timer(c);
}

void bt_lapic_reset(struct bt_cpu *c)
{
	bt_lapic_init(c);
	c->lapic.id = c->index;
	if (c->index == 0) /* "virtual wire", as firmware leaves it */
		c->lapic.lvt[LVT_LINT0] = IPI_EXTINT << ICR_MODE_SHIFT;
	show(c);
}

int bt_lapic_set_base(struct bt_cpu *c, uint64_t value)
{
	uint64_t valid = APIC_BASE_FIRST | APIC_BASE_ON | (BT_PHYS_END - 0x1000);
	uint64_t on = value & (APIC_BASE_ON | APIC_BASE_X2),
		 was = c->apic_base & (APIC_BASE_ON | APIC_BASE_X2);

	if (bt_has(c, 1, 0, 2, 21))
		valid |= APIC_BASE_X2;
	if (value & ~valid || on == APIC_BASE_X2)
		return bt_raise_code(c, X86_GP, 0);
	if (on != was) { /* x2APIC is reached from xAPIC, and left by turning all off */
		if (on == (APIC_BASE_ON | APIC_BASE_X2) && was != APIC_BASE_ON)
			return bt_raise_code(c, X86_GP, 0);
		if (on == APIC_BASE_ON && was == (APIC_BASE_ON | APIC_BASE_X2))
			return bt_raise_code(c, X86_GP, 0);
	}
	c->apic_base = value;
	if (on != was && !(on & APIC_BASE_ON))
		bt_lapic_init(c);
	show(c);
	return BT_OK;
}

static void put(uint8_t page[X86_LAPIC_BYTES], unsigned reg, uint32_t value)
{
	__builtin_memcpy(page + (size_t)reg * 16, &value, sizeof(value));
}

static uint32_t get(const uint8_t page[X86_LAPIC_BYTES], unsigned reg)
{
	uint32_t value;

	__builtin_memcpy(&value, page + (size_t)reg * 16, sizeof(value));
	return value;
}

static uint32_t posted(const struct bt_cpu *c, unsigned i, bool level)
{
	if (!c->exchange)
		return 0;
	return __atomic_load_n(level ? &c->exchange->posted_level[i] : &c->exchange->posted[i],
			       __ATOMIC_SEQ_CST);
}

/* What others have posted and nobody has collected is saved as if it had arrived. */
static void save_sets(const struct bt_cpu *c, uint8_t page[X86_LAPIC_BYTES])
{
	bool takes = is_on(c) && c->lapic.svr & SVR_ENABLED;

	for (unsigned i = 0; i < 8; i++) {
		uint32_t bits = takes ? posted(c, i, false) & (i == 0 ? 0xffff0000 : ~0U) : 0;

		put(page, LAPIC_ISR + i, c->lapic.isr[i]);
		put(page, LAPIC_TMR + i, (c->lapic.tmr[i] & ~bits) | (posted(c, i, true) & bits));
		put(page, LAPIC_IRR + i, c->lapic.irr[i] | bits);
	}
}

void bt_lapic_save(const struct bt_cpu *c, uint8_t page[X86_LAPIC_BYTES])
{
	const struct bt_lapic *l = &c->lapic;

	__builtin_memset(page, 0, X86_LAPIC_BYTES);
	put(page, LAPIC_ID, l->id << 24); /* in this form in x2APIC mode, too: the kernel's KVM does so */
	put(page, LAPIC_VERSION, LAPIC_VERSION_VALUE);
	put(page, LAPIC_TPR, l->tpr);
	put(page, LAPIC_PPR, ppr(c));
	put(page, LAPIC_LDR, ldr(c));
	put(page, LAPIC_DFR, l->dfr);
	put(page, LAPIC_SVR, l->svr);
	save_sets(c, page);
	put(page, LAPIC_ESR, l->esr & 0xff);
	put(page, LAPIC_ICR, l->icr_low);
	put(page, LAPIC_ICR_HIGH, l->icr_high);
	for (unsigned i = LVT_TIMER; i < LVT_COUNT; i++)
		put(page, LAPIC_LVT + i - LVT_TIMER, l->lvt[i]);
	put(page, LAPIC_TIMER_INITIAL, l->timer_initial);
	put(page, LAPIC_TIMER_CURRENT, timer_count(c));
	put(page, LAPIC_TIMER_DIVIDE, l->timer_divide);
}

void bt_lapic_load(struct bt_cpu *c, const uint8_t page[X86_LAPIC_BYTES])
{
	struct bt_lapic *l = &c->lapic;
	uint32_t left = get(page, LAPIC_TIMER_CURRENT);

	*l = (struct bt_lapic){
		.id = l->id,
		.tpr = get(page, LAPIC_TPR) & 0xff,
		.ldr = get(page, LAPIC_LDR) & 0xff000000,
		.dfr = get(page, LAPIC_DFR) | 0x0fffffff,
		.svr = get(page, LAPIC_SVR) & SVR_VALID,
		.esr = get(page, LAPIC_ESR) & 0xff,
		.icr_low = get(page, LAPIC_ICR) & ICR_VALID & ~(uint32_t)ICR_BUSY,
		.icr_high = get(page, LAPIC_ICR_HIGH),
		.timer_initial = get(page, LAPIC_TIMER_INITIAL),
		.timer_divide = get(page, LAPIC_TIMER_DIVIDE) & DIVIDE_VALID,
	};
	l->lvt[LVT_CMCI] = LVT_MASKED;
	for (unsigned i = LVT_TIMER; i < LVT_COUNT; i++)
		l->lvt[i] = get(page, LAPIC_LVT + i - LVT_TIMER) & lvt_valid[i];
	for (unsigned i = 0; i < 8; i++) {
		l->isr[i] = get(page, LAPIC_ISR + i);
		l->tmr[i] = get(page, LAPIC_TMR + i);
		l->irr[i] = get(page, LAPIC_IRR + i);
	}
	l->isr[0] &= 0xffff0000;
	l->irr[0] &= 0xffff0000;
	show(c);
	if (timer_mode(c) == TIMER_DEADLINE) /* its MSR arms it */
		c->world->timer(c);
	else
		timer_start(c, left || timer_mode(c) != TIMER_PERIODIC ? left : l->timer_initial);
}
