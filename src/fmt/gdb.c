/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/gdb.h"

#include <string.h>

#include "base/buf.h"
#include "base/bug.h"

enum { IDLE, INSIDE, SUM_HIGH, SUM_LOW }; /* states of the input */
enum { CTRL_C = 3, ESCAPE = '}', ESCAPE_XOR = 0x20 };

static int digit(uint8_t ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

static void begin(struct gdb_input *in)
{
	in->state = INSIDE;
	in->escaped = in->too_long = false;
	in->sum = 0;
	in->len = 0;
}

static void inside(struct gdb_input *in, uint8_t ch)
{
	in->sum = (uint8_t)(in->sum + ch);
	if (ch == ESCAPE && !in->escaped) {
		in->escaped = true;
		return;
	}
	if (in->len == GDB_PACKET_MAX)
		in->too_long = true;
	else
		in->data[in->len++] = in->escaped ? ch ^ ESCAPE_XOR : ch;
	in->escaped = false;
}

static enum gdb_event end(struct gdb_input *in, uint8_t ch)
{
	int d = digit(ch);

	in->sent = (uint8_t)(in->sent << 4 | d);
	in->state = IDLE;
	in->data[in->len] = '\0';
	return d < 0 || in->sent != in->sum || in->too_long || in->escaped ? GDB_EVENT_BAD : GDB_EVENT_PACKET;
}

static enum gdb_event feed_one(struct gdb_input *in, uint8_t ch)
{
	if (ch == '$') { /* never inside: there it is escaped */
		begin(in);
		return GDB_EVENT_NONE;
	}
	switch (in->state) {
	case INSIDE:
		if (ch == '#')
			in->state = SUM_HIGH;
		else
			inside(in, ch);
		return GDB_EVENT_NONE;
	case SUM_HIGH:
		in->state = digit(ch) < 0 ? IDLE : SUM_LOW;
		in->sent = (uint8_t)digit(ch);
		return in->state == IDLE ? GDB_EVENT_BAD : GDB_EVENT_NONE;
	case SUM_LOW: return end(in, ch);
	default:
		return ch == CTRL_C ? GDB_EVENT_INTERRUPT :
				      GDB_EVENT_NONE; /* '+', '-': nothing is lost on the way */
	}
}

size_t gdb_feed(struct gdb_input *in, const void *bytes, size_t len, enum gdb_event *ret_event)
{
	const uint8_t *p = bytes;

	*ret_event = GDB_EVENT_NONE;
	for (size_t n = 0; n < len; n++) {
		*ret_event = feed_one(in, p[n]);
		if (*ret_event != GDB_EVENT_NONE)
			return n + 1;
	}
	return len;
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

struct cursor { /* what is left of a packet; sticky: what follows a mistake is nothing */
	uint8_t *at, *end;
	bool bad;
};

static void fail(struct cursor *c)
{
	c->bad = true;
	c->at = c->end;
}

static bool skip(struct cursor *c, char ch)
{
	if (c->at == c->end || *c->at != (uint8_t)ch)
		return false;
	c->at++;
	return true;
}

static void need(struct cursor *c, char ch)
{
	if (!skip(c, ch))
		fail(c);
}

static uint64_t read_number(struct cursor *c)
{
	uint64_t n = 0;
	int digits = 0;

	for (; c->at < c->end && digit(*c->at) >= 0; c->at++) {
		n = n << 4 | (uint64_t)digit(*c->at);
		if (++digits > 16)
			break;
	}
	if (digits < 1 || digits > 16)
		fail(c);
	return n;
}

static int read_thread(struct cursor *c)
{
	uint64_t n;

	if (skip(c, '-')) {
		if (read_number(c) != 1)
			fail(c);
		return GDB_THREAD_ALL;
	}
	n = read_number(c);
	if (n > INT32_MAX)
		fail(c);
	return (int)n;
}

/* read_hex() - all that is left. */
static void read_hex(struct cursor *c, struct gdb_command *cmd)
{
	uint8_t *to = c->at;

	cmd->data = to;
	if ((c->end - c->at) % 2)
		fail(c);
	for (; c->at < c->end; c->at += 2) {
		int high = digit(c->at[0]), low = digit(c->at[1]);

		if (high < 0 || low < 0) {
			fail(c);
			break;
		}
		*to++ = (uint8_t)(high << 4 | low);
	}
	cmd->n_data = (size_t)(to - cmd->data);
}

static void args_range(struct cursor *c, struct gdb_command *cmd)
{
	cmd->addr = read_number(c);
	need(c, ',');
	cmd->len = read_number(c);
}

static void args_memory(struct cursor *c, struct gdb_command *cmd)
{
	args_range(c, cmd);
	need(c, ':');
	read_hex(c, cmd);
	if (cmd->n_data != cmd->len)
		fail(c);
}

static void args_binary(struct cursor *c, struct gdb_command *cmd)
{
	args_range(c, cmd);
	need(c, ':');
	cmd->data = c->at;
	cmd->n_data = (size_t)(c->end - c->at);
	c->at = c->end;
	if (cmd->n_data != cmd->len)
		fail(c);
}

static void args_register(struct cursor *c, struct gdb_command *cmd)
{
	cmd->addr = read_number(c);
	if (cmd->op != GDB_REG_WRITE)
		return;
	need(c, '=');
	read_hex(c, cmd);
}

static void args_point(struct cursor *c, struct gdb_command *cmd)
{
	uint64_t kind = read_number(c);

	if (kind > GDB_POINT_ACCESS)
		fail(c);
	cmd->point = (enum gdb_point)kind;
	need(c, ',');
	args_range(c, cmd);
}

static void args_thread(struct cursor *c, struct gdb_command *cmd)
{
	cmd->thread = read_thread(c);
}

static void args_thread_for(struct cursor *c, struct gdb_command *cmd)
{
	cmd->resumes = skip(c, 'c');
	if (!cmd->resumes)
		need(c, 'g');
	cmd->thread = read_thread(c);
}

static void args_process(struct cursor *c, struct gdb_command *cmd)
{
	(void)cmd;
	read_number(c);
}

/* args_old() - "c", "s", "C05", "S05". A signal has nobody to go to, and where it goes on is what the registers say. */
static void args_old(struct cursor *c, struct gdb_command *cmd)
{
	uint8_t how = c->at[-1];

	if (how < 'a')
		read_number(c);
	cmd->action[cmd->n_actions++] =
		(struct gdb_action){ .thread = GDB_THREAD_ANY, .step = how == 's' || how == 'S' };
}

/* args_actions() - "c:2;S05:1;c", behind "vCont;" */
static void args_actions(struct cursor *c, struct gdb_command *cmd)
{
	do {
		struct gdb_action a = { .thread = GDB_THREAD_ALL };

		if (c->at == c->end || cmd->n_actions == GDB_ACTIONS_MAX || !*c->at ||
		    !strchr("cCsS", *c->at)) {
			fail(c);
			return;
		}
		a.step = *c->at == 's' || *c->at == 'S';
		if (*c->at++ < 'a')
			read_number(c);
		if (skip(c, ':'))
			a.thread = read_thread(c);
		cmd->action[cmd->n_actions++] = a;
	} while (skip(c, ';'));
}

static bool is_word(const uint8_t *at, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(at, word, len) == 0;
}

static void args_features(struct cursor *c, struct gdb_command *cmd)
{
	skip(c, ':');
	while (c->at < c->end) {
		const uint8_t *semicolon = memchr(c->at, ';', (size_t)(c->end - c->at));
		size_t len = (size_t)((semicolon ? semicolon : c->end) - c->at);

		cmd->tells_soft |= is_word(c->at, len, "swbreak+");
		cmd->tells_hard |= is_word(c->at, len, "hwbreak+");
		c->at += len;
		skip(c, ';');
	}
}

/* The first that matches; those without arguments match only alone. */
static const struct {
	const char *name;
	enum gdb_op op;
	void (*args)(struct cursor *c, struct gdb_command *cmd); /* NULL: none */
} command[] = {
	{ "m", GDB_MEM_READ, args_range },
	{ "g", GDB_REGS_READ, NULL },
	{ "p", GDB_REG_READ, args_register },
	{ "P", GDB_REG_WRITE, args_register },
	{ "G", GDB_REGS_WRITE, read_hex },
	{ "M", GDB_MEM_WRITE, args_memory },
	{ "X", GDB_MEM_WRITE, args_binary },
	{ "Z", GDB_POINT_SET, args_point },
	{ "z", GDB_POINT_CLEAR, args_point },
	{ "vCont?", GDB_RESUME_HOW, NULL },
	{ "vCont;", GDB_RESUME, args_actions },
	{ "?", GDB_WHY, NULL },
	{ "c", GDB_RESUME, args_old },
	{ "s", GDB_RESUME, args_old },
	{ "C", GDB_RESUME, args_old },
	{ "S", GDB_RESUME, args_old },
	{ "H", GDB_THREAD_FOR, args_thread_for },
	{ "T", GDB_THREAD_ALIVE, args_thread },
	{ "qC", GDB_THREAD_NOW, NULL },
	{ "qfThreadInfo", GDB_THREADS, NULL },
	{ "qsThreadInfo", GDB_THREADS_MORE, NULL },
	{ "qThreadExtraInfo,", GDB_THREAD_TEXT, args_thread },
	{ "qSupported", GDB_SUPPORTED, args_features },
	{ "qXfer:features:read:target.xml:", GDB_TARGET_XML, args_range },
	{ "qAttached", GDB_ATTACHED, NULL },
	{ "QStartNoAckMode", GDB_NO_ACKS, NULL },
	{ "D;", GDB_DETACH, args_process },
	{ "D", GDB_DETACH, NULL },
	{ "vKill;", GDB_KILL, args_process },
	{ "k", GDB_KILL, NULL },
};

void gdb_parse(struct gdb_input *in, struct gdb_command *ret_c)
{
	*ret_c = (struct gdb_command){ .op = GDB_UNKNOWN };
	for (size_t i = 0; i < ARRAY_SIZE(command); i++) {
		size_t len = strlen(command[i].name);
		struct cursor c = { in->data + len, in->data + in->len, false };

		if (in->len < len || memcmp(in->data, command[i].name, len) != 0)
			continue;
		if (!command[i].args && in->len > len)
			continue;
		ret_c->op = command[i].op;
		if (command[i].args)
			command[i].args(&c, ret_c);
		if (c.bad || c.at != c.end)
			ret_c->op = GDB_MALFORMED;
		return;
	}
}

/* --- replies ------------------------------------------------------------------------------------------------------ */

void gdb_put_packet(struct buf *out, const void *payload, size_t len)
{
	const uint8_t *p = payload;
	uint8_t sum = 0;

	buf_putc(out, '$');
	for (size_t i = 0; i < len; i++) {
		uint8_t ch = p[i];

		if (ch == '$' || ch == '#' || ch == ESCAPE || ch == '*') {
			buf_putc(out, ESCAPE);
			sum = (uint8_t)(sum + ESCAPE);
			ch ^= ESCAPE_XOR;
		}
		buf_putc(out, (char)ch);
		sum = (uint8_t)(sum + ch);
	}
	buf_printf(out, "#%02x", sum);
}

void gdb_put_hex(struct buf *out, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++) {
		buf_putc(out, digits[p[i] >> 4]);
		buf_putc(out, digits[p[i] & 15]);
	}
}
