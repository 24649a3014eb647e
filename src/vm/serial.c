/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls(device): write poll */
#include "vm/serial.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/record.h"
#include "io/loop.h"

enum { /* registers; DLL and DLM stand in place of the first two while LCR_DLAB is set */
       REG_DATA,
       REG_IER,
       REG_IIR, /* write: FCR */
       REG_LCR,
       REG_MCR,
       REG_LSR,
       REG_MSR,
       REG_SCRATCH,
};

enum {
	IER_RX = 1,
	IER_TX = 2,
	IER_MASK = 15,
	IIR_NONE = 1,
	IIR_TX = 2,
	IIR_RX = 4,
	IIR_FIFO = 0xc0,
	FCR_ENABLE = 1,
	FCR_CLEAR_RX = 2,
	LCR_DLAB = 0x80,
	MCR_LOOP = 0x10,
	MCR_MASK = 0x1f,
	LSR_DATA = 1,
	LSR_TX_EMPTY = 0x60, /* THRE, TEMT */
	MSR_CTS_DSR_DCD = 0xb0,
	WRITE_MAX = 4096, /* what a pipe takes whole when poll(2) calls it writable */
	SERIAL_VERSION = 1,
};

struct serial {
	pthread_mutex_t lock; /* of all below but the descriptors and sources, which are the loop's */
	struct serial_config c;
	uint8_t ier, lcr, mcr, scratch, dll, dlm;
	bool fifo, tx_pending; /* the transmitter became empty, and nobody has read that in IIR */
	bool line;             /* level of the interrupt line */
	uint8_t in[SERIAL_IN_MAX];
	unsigned in_at, in_n;
	uint8_t out[SERIAL_OUT_MAX];
	unsigned out_at, out_n;
	bool told; /* the loop knows already that there is something to do */
	struct limiter limiter;
	uint64_t n_dropped;

	int wake_fd; /* owned eventfd: processor to loop */
	struct loop_source wake, input, output;
	bool in_polled, in_open; /* epoll watches it; more may come */
	bool out_polled;
};

static void tell_loop(struct serial *s)
{
	const uint64_t one = 1;

	if (s->told)
		return;
	s->told = true;
	if (write(s->wake_fd, &one, sizeof(one)) < 0)
		s->told = false; /* cannot be: the counter is far from its end */
}

/* --- registers; s->lock is held --------------------------------------------------------------------------- */

static uint8_t iir(const struct serial *s)
{
	uint8_t fifo = s->fifo ? IIR_FIFO : 0;

	if ((s->ier & IER_RX) && s->in_n)
		return fifo | IIR_RX;
	if ((s->ier & IER_TX) && s->tx_pending)
		return fifo | IIR_TX;
	return fifo | IIR_NONE;
}

static void line_update(struct serial *s)
{
	bool level = !(iir(s) & IIR_NONE);

	if (level == s->line)
		return;
	s->line = level;
	s->c.irq(s->c.irq_arg, level);
}

static void in_push(struct serial *s, uint8_t byte)
{
	if (s->in_n < SERIAL_IN_MAX)
		s->in[(s->in_at + s->in_n++) % SERIAL_IN_MAX] = byte;
}

static uint8_t in_pop(struct serial *s)
{
	uint8_t byte;

	if (!s->in_n)
		return 0;
	byte = s->in[s->in_at];
	s->in_at = (s->in_at + 1) % SERIAL_IN_MAX;
	if (--s->in_n == 0 && s->in_open)
		tell_loop(s); /* there is room again */
	return byte;
}

static bool may_send(struct serial *s)
{
	return limiter_is_off(&s->limiter) || limiter_take(&s->limiter, 1, time_now_ns(CLOCK_MONOTONIC));
}

static void transmit(struct serial *s, uint8_t byte)
{
	if (s->mcr & MCR_LOOP) {
		in_push(s, byte);
	} else if (s->c.out_fd >= 0) {
		if (s->out_n == SERIAL_OUT_MAX || !may_send(s)) {
			s->n_dropped++;
		} else {
			s->out[(s->out_at + s->out_n++) % SERIAL_OUT_MAX] = byte;
			tell_loop(s);
		}
	}
	/* An edge for whoever waits for one: the transmitter was busy, and is empty again unless the ring is full. */
	s->tx_pending = false;
	line_update(s);
	s->tx_pending = s->out_n < SERIAL_OUT_MAX;
}

static uint8_t msr(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS_DSR_DCD;
	/* In loop-back the four outputs drive the four inputs: DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD. */
	return (uint8_t)((s->mcr & 1) << 5 | (s->mcr & 2) << 3 | (s->mcr & 12) << 4);
}

static uint8_t reg_read(struct serial *s, uint64_t reg)
{
	uint8_t v;

	switch (reg) {
	case REG_DATA: return s->lcr & LCR_DLAB ? s->dll : in_pop(s);
	case REG_IER: return s->lcr & LCR_DLAB ? s->dlm : s->ier;
	case REG_IIR:
		v = iir(s);
		if ((v & 15) == IIR_TX)
			s->tx_pending = false;
		return v;
	case REG_LCR: return s->lcr;
	case REG_MCR: return s->mcr;
	case REG_LSR: return (s->in_n ? LSR_DATA : 0) | (s->out_n < SERIAL_OUT_MAX ? LSR_TX_EMPTY : 0);
	case REG_MSR: return msr(s);
	default: return s->scratch;
	}
}

static void ier_write(struct serial *s, uint8_t v)
{
	uint8_t risen = v & ~s->ier;

	s->ier = v & IER_MASK;
	if ((risen & IER_TX) && s->out_n < SERIAL_OUT_MAX)
		s->tx_pending = true;
}

static void reg_write(struct serial *s, uint64_t reg, uint8_t v)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			s->dll = v;
		else
			transmit(s, v);
		break;
	case REG_IER:
		if (dlab)
			s->dlm = v;
		else
			ier_write(s, v);
		break;
	case REG_IIR:
		s->fifo = v & FCR_ENABLE;
		if (v & FCR_CLEAR_RX)
			s->in_n = 0;
		break;
	case REG_LCR: s->lcr = v; break;
	case REG_MCR: s->mcr = v & MCR_MASK; break;
	case REG_SCRATCH: s->scratch = v; break;
	default: break; /* LSR and MSR are read-only */
	}
}

static void port_read(void *arg, uint64_t off, void *dst, unsigned len)
{
	struct serial *s = arg;

	if (len != 1)
		return; /* ones, which the bus has put there */
	pthread_mutex_lock(&s->lock);
	*(uint8_t *)dst = reg_read(s, off);
	line_update(s);
	pthread_mutex_unlock(&s->lock);
}

static void port_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	struct serial *s = arg;

	if (len != 1)
		return;
	pthread_mutex_lock(&s->lock);
	reg_write(s, off, *(const uint8_t *)src);
	line_update(s);
	pthread_mutex_unlock(&s->lock);
}

const struct bus_ops serial_bus = { .name = "serial", .read = port_read, .write = port_write };

/* --- the loop's side -------------------------------------------------------------------------------------------- */

/* out_peek() - the longest run of bytes that lies in one piece. */
static unsigned out_peek(struct serial *s, const uint8_t **ret_p)
{
	unsigned n;

	pthread_mutex_lock(&s->lock);
	n = s->out_n;
	if (n > SERIAL_OUT_MAX - s->out_at)
		n = SERIAL_OUT_MAX - s->out_at;
	*ret_p = s->out + s->out_at;
	pthread_mutex_unlock(&s->lock);
	return n < WRITE_MAX ? n : WRITE_MAX;
}

static void out_done(struct serial *s, unsigned n)
{
	bool was_full;

	pthread_mutex_lock(&s->lock);
	was_full = s->out_n == SERIAL_OUT_MAX;
	s->out_at = (s->out_at + n) % SERIAL_OUT_MAX;
	s->out_n -= n;
	if (was_full)
		s->tx_pending = true;
	line_update(s);
	pthread_mutex_unlock(&s->lock);
}

/* out_once() - one write, to a descriptor that is ready for it. Return: bytes; 0 nothing to do; -errno, -EAGAIN. */
static int out_once(struct serial *s)
{
	const uint8_t *p;
	unsigned n = out_peek(s, &p);
	ssize_t r;

	if (n == 0)
		return 0;
	r = write(s->c.out_fd, p,
		  n); /* only the loop takes bytes out of the ring: they stay while the lock is free */
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	out_done(s, r < 0 ? n : (unsigned)r); /* nobody reads any more: as if there were no line */
	return r < 0 ? -errno : (int)r;
}

static bool out_ready(const struct serial *s, int wait_ms)
{
	struct pollfd p = { .fd = s->c.out_fd, .events = POLLOUT };

	return poll(&p, 1, wait_ms) == 1;
}

/* A source whose descriptor is of no use now leaves the loop: epoll tells of hang-ups whether one asks or not. */
static void want(struct serial *s, struct loop_source *src, int fd, uint32_t events, bool on)
{
	if (!on)
		loop_remove(s->c.loop, src);
	else if (src->fd < 0 && loop_add(s->c.loop, src, fd, events) < 0)
		s->n_dropped++; /* out of memory in the kernel: the next byte tries again */
}

static void on_output(void *arg, uint32_t events)
{
	struct serial *s = arg;
	const uint8_t *p;

	(void)events;
	out_once(s);
	if (out_peek(s, &p) == 0)
		want(s, &s->output, s->c.out_fd, EPOLLOUT, false);
}

static void drain(struct serial *s)
{
	while (s->c.out_fd >= 0 && out_ready(s, 0))
		if (out_once(s) == 0)
			return;
	if (s->out_polled)
		want(s, &s->output, s->c.out_fd, EPOLLOUT, true);
}

static void fill(struct serial *s)
{
	uint8_t bytes[SERIAL_IN_MAX];
	unsigned room;
	ssize_t n;

	pthread_mutex_lock(&s->lock);
	room = SERIAL_IN_MAX - s->in_n;
	pthread_mutex_unlock(&s->lock);
	if (room == 0) {
		want(s, &s->input, s->c.in_fd, EPOLLIN, false);
		return;
	}
	n = read(s->c.in_fd, bytes, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	pthread_mutex_lock(&s->lock);
	for (ssize_t i = 0; i < n; i++)
		in_push(s, bytes[i]);
	if (n <= 0)
		s->in_open = false;
	line_update(s);
	pthread_mutex_unlock(&s->lock);
	if (n <= 0)
		loop_remove(s->c.loop, &s->input);
}

static void on_input(void *arg, uint32_t events)
{
	(void)events;
	fill(arg);
}

static void on_wake(void *arg, uint32_t events)
{
	struct serial *s = arg;
	uint64_t n;

	(void)events;
	if (read(s->wake_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->told = false;
	pthread_mutex_unlock(&s->lock);
	drain(s);
	if (!s->in_open)
		return;
	if (s->in_polled)
		want(s, &s->input, s->c.in_fd, EPOLLIN, true);
	else
		fill(s);
}

void serial_flush(struct serial *s, int wait_ms)
{
	while (s && s->c.out_fd >= 0 && out_ready(s, wait_ms)) {
		int r = out_once(s);

		if (r == 0 || (r == -EAGAIN && wait_ms == 0))
			return;
	}
}

uint64_t serial_dropped(const struct serial *s)
{
	return s->n_dropped;
}

/* can_poll() - epoll does not take everything; a regular file or /dev/null is ready at any time. */
static int can_poll(struct serial *s, struct loop_source *src, int fd, uint32_t events, bool *ret_polled)
{
	int r = loop_add(s->c.loop, src, fd, events);

	*ret_polled = r == 0;
	return r == -EPERM ? 0 : r;
}

static int sources_add(struct serial *s)
{
	int r;

	s->wake = (struct loop_source){ .fd = -1, .ready = on_wake, .arg = s };
	s->input = (struct loop_source){ .fd = -1, .ready = on_input, .arg = s };
	s->output = (struct loop_source){ .fd = -1, .ready = on_output, .arg = s };
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return -errno;
	r = loop_add(s->c.loop, &s->wake, s->wake_fd, EPOLLIN);
	if (r == 0 && s->c.out_fd >= 0)
		r = can_poll(s, &s->output, s->c.out_fd, EPOLLOUT, &s->out_polled);
	loop_remove(s->c.loop, &s->output); /* until there is something */
	if (r < 0 || s->c.in_fd < 0)
		return r;
	s->in_open = true;
	r = can_poll(s, &s->input, s->c.in_fd, EPOLLIN, &s->in_polled);
	if (r == 0 && !s->in_polled)
		tell_loop(s);
	return r;
}

int serial_new(struct serial **ret_s, const struct serial_config *c, struct err *e)
{
	struct serial *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_sys(e, ENOMEM, "the serial port");
	s->c = *c;
	s->wake_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	limiter_init(&s->limiter, &c->limit, time_now_ns(CLOCK_MONOTONIC));
	r = sources_add(s);
	if (r < 0) {
		serial_free(s);
		return err_sys(e, -r, "the serial port");
	}
	*ret_s = s;
	return 0;
}

void serial_free(struct serial *s)
{
	if (!s)
		return;
	loop_remove(s->c.loop, &s->wake);
	loop_remove(s->c.loop, &s->input);
	loop_remove(s->c.loop, &s->output);
	fd_close(&s->wake_fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void serial_save(struct serial *s, struct record_out *o)
{
	pthread_mutex_lock(&s->lock);
	record_begin(o, "serial", SERIAL_VERSION);
	record_put_u8(o, s->ier);
	record_put_u8(o, s->lcr);
	record_put_u8(o, s->mcr);
	record_put_u8(o, s->scratch);
	record_put_u8(o, s->dll);
	record_put_u8(o, s->dlm);
	record_put_u8(o, s->fifo);
	record_put_u8(o, s->tx_pending);
	record_put_u8(o, s->line);
	record_put_u8(o, (uint8_t)s->in_n);
	for (unsigned i = 0; i < s->in_n; i++)
		record_put_u8(o, s->in[(s->in_at + i) % SERIAL_IN_MAX]);
	limiter_save(&s->limiter, o);
	record_end(o);
	pthread_mutex_unlock(&s->lock);
}

void serial_restore(struct serial *s, struct record_in *in)
{
	unsigned n;

	if (!record_open(in, "serial", SERIAL_VERSION))
		return;
	pthread_mutex_lock(&s->lock);
	s->ier = record_get_u8(in) & IER_MASK;
	s->lcr = record_get_u8(in);
	s->mcr = record_get_u8(in) & MCR_MASK;
	s->scratch = record_get_u8(in);
	s->dll = record_get_u8(in);
	s->dlm = record_get_u8(in);
	s->fifo = record_get_u8(in) & 1;
	s->tx_pending = record_get_u8(in) & 1;
	s->line = record_get_u8(in) & 1;
	n = record_get_u8(in);
	if (n > SERIAL_IN_MAX) {
		record_fail(in, "%u bytes of input, at most %d", n, SERIAL_IN_MAX);
		n = 0;
	}
	s->in_at = s->in_n = 0;
	for (unsigned i = 0; i < n; i++)
		in_push(s, record_get_u8(in));
	limiter_restore(&s->limiter, in, time_now_ns(CLOCK_MONOTONIC));
	pthread_mutex_unlock(&s->lock);
	record_close(in);
}
