/* SPDX-License-Identifier: Apache-2.0 */
/* lapic.h - numbers of the local APIC's registers, entries and modes */
#ifndef ENGINE_BT_SPACE_LAPIC_H
#define ENGINE_BT_SPACE_LAPIC_H

enum bt_lapic_reg { /* offset in the page / 16; MSR - 0x800 */
		    LAPIC_ID = 0x02,
		    LAPIC_VERSION = 0x03,
		    LAPIC_TPR = 0x08,
		    LAPIC_APR = 0x09,
		    LAPIC_PPR = 0x0a,
		    LAPIC_EOI = 0x0b,
		    LAPIC_LDR = 0x0d,
		    LAPIC_DFR = 0x0e,
		    LAPIC_SVR = 0x0f,
		    LAPIC_ISR = 0x10,
		    LAPIC_TMR = 0x18,
		    LAPIC_IRR = 0x20,
		    LAPIC_ESR = 0x28,
		    LAPIC_LVT_CMCI = 0x2f,
		    LAPIC_ICR = 0x30,
		    LAPIC_ICR_HIGH = 0x31,
		    LAPIC_LVT = 0x32, /* timer, thermal, performance, LINT0, LINT1, error */
		    LAPIC_TIMER_INITIAL = 0x38,
		    LAPIC_TIMER_CURRENT = 0x39,
		    LAPIC_TIMER_DIVIDE = 0x3e,
		    LAPIC_SELF_IPI = 0x3f,
		    LAPIC_REG_COUNT
};

enum bt_lvt { LVT_CMCI, LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

enum {
	LAPIC_VERSION_VALUE = 0x50014, /* six entries, no suppression of EOI broadcasts */
	LVT_MASKED = 1 << 16,
	SVR_ENABLED = 1 << 8,
	APIC_BASE_FIRST = 1 << 8,
	APIC_BASE_X2 = 1 << 10,
	APIC_BASE_ON = 1 << 11,
};

enum bt_ipi_mode { IPI_FIXED, IPI_LOWEST, IPI_SMI, IPI_NMI = 4, IPI_INIT, IPI_STARTUP, IPI_EXTINT };
enum bt_ipi_to { IPI_TO_DEST, IPI_TO_SELF, IPI_TO_ALL, IPI_TO_OTHERS };

enum {
	ICR_MODE_SHIFT = 8,
	ICR_LOGICAL = 1 << 11,
	ICR_BUSY = 1 << 12,
	ICR_ASSERT = 1 << 14,
	ICR_LEVEL = 1 << 15,
	ICR_TO_SHIFT = 18,
};

#endif
