/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STAGE_H
#define THAW_STAGE_H

/*
 * Dump and restore are rows of stages; the runner logs each and stops at the first failure, or when
 * @interrupted(context) says, with a sentence, that nobody wants the rest. A failure that was told and not dealt with
 * (diag_clear()) is one, even if no function returned it.
 */
#define RUN_STAGES(context, stages, interrupted)                                    \
	({                                                                          \
		int _ret = 0;                                                       \
		for (size_t _i = 0; !_ret && _i < ARRAY_SIZE(stages); _i++) {       \
			diag_info((context)->diag, "Stage: %s", (stages)[_i].name); \
			_ret = interrupted(context);                                \
			if (!_ret)                                                  \
				_ret = (stages)[_i].run(context);                   \
			if (!_ret)                                                  \
				_ret = -(context)->diag->code;                      \
		}                                                                   \
		_ret;                                                               \
	})

#endif
